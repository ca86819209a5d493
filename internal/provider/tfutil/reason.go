package tfutil

// reason returns why the machine could not be called, if that is what err says.
func (c Call) reason(err error) (reason, bool) {
	return reason{}, false
}
