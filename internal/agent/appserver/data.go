package appserver

// stateDirectory is the app's own directory below /var/lib, which both slots share and
// which outlives releases and the component. Only systemd makes it, gives it to the
// app's account and changes its owner where that account was made again
// (systemd.exec(5), StateDirectory=): root follows no link of the app's there.
func (l layout) stateDirectory() string { return "foobar-app/" + l.name }

// dataDirectory has systemd make the directory and name it in $STATE_DIRECTORY.
func dataDirectory(l layout) []string {
	return []string{"StateDirectory=" + l.stateDirectory(), "StateDirectoryMode=0700"}
}
