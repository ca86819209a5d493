// Package artifact has the rules for the artifact of a release: a tar file that
// is compressed with gzip or zstd, or a program by itself; and those of its
// signature. The provider checks them while it plans, the agent while it unpacks,
// with the same code, so that what passes the plan can be unpacked.
//
// Everything is streamed. What is kept in memory is one record for each entry,
// within [DefaultEntries] and [MaxNames], and [MaxWindow] for zstd.
package artifact

import "regexp"

// Bounds of an artifact.
const (
	// DefaultEntries bounds the number of files, links and directories. It is
	// far above the largest web apps (a big node_modules has some 50,000 files)
	// and far below the number of inodes of a file system.
	DefaultEntries = 200_000
	// MaxPart bounds one part of a path, in bytes; it is NAME_MAX of Linux.
	MaxPart = 255
	// MaxPath bounds the path of an entry and the target of a link, in bytes.
	// Linux allows 4,095 (PATH_MAX), of which the directory of the release
	// needs some.
	MaxPath = 3840
	// MaxDepth bounds how many parts a path has: whoever looks at a file that is
	// thousands of directories deep looks at each of them. The deepest node_modules
	// have some 40.
	MaxDepth = 128
	// MaxNames bounds all paths and targets together, in bytes: on average 160
	// for each of the entries that are allowed.
	MaxNames = 32 << 20
	// MaxMembers bounds the members of the gzip file. Most programs write one;
	// bgzip writes one for each 64 KiB, so that an artifact of 8 GiB fits.
	MaxMembers = 1 << 17
	// MaxWindow bounds the window of a zstd file, and so the memory that it takes
	// to decompress it, in bytes. It is what levels up to 19 use, and what RFC 8878
	// (section 3.1.1.1.2) wants every decoder to support.
	MaxWindow = 8 << 20
)

// maxFollowed bounds how many links one link may lead over. Linux allows 40.
const maxFollowed = 40

// interpreterPattern matches the targets outside of the artifact that a link
// may have: a Python virtual environment has a link to its interpreter.
var interpreterPattern = regexp.MustCompile(`^/usr/bin/python3(\.[0-9]{1,3})?$`)

// IsInterpreter reports whether a link may lead to target although that is
// outside of the artifact.
func IsInterpreter(target string) bool { return interpreterPattern.MatchString(target) }

// Limits bound what an artifact may hold.
type Limits struct {
	// Bytes bounds the size of all files together, unpacked.
	Bytes int64
	// Entries bounds the number of files, links and directories; 0 means
	// [DefaultEntries].
	Entries int
}

// Error says why an artifact cannot be used. The text is for the person who
// made it.
type Error struct {
	// Entry is the name of the entry that is wrong, empty if the artifact as a
	// whole is.
	Entry string
	// Reason says what is wrong, what is allowed and what to do.
	Reason string
}

// Error calls it "the artifact".
func (e *Error) Error() string { return e.Of("the artifact") }

// Of returns the text with subject as the name of the artifact.
func (e *Error) Of(subject string) string {
	if e.Entry == "" {
		return subject + " " + e.Reason
	}
	return "the entry " + quote(e.Entry) + " of " + subject + " " + e.Reason
}
