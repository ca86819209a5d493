package api

import "time"

// A copy of a database is sent in frames: a number of four bytes, the highest
// first, and as many bytes of the copy. A frame of length 0 is a sign of life
// of a sender that has nothing to send for a while, as while the database waits
// for its locks, and the number [CopyEnd] alone says that the copy is whole. One
// that ends without it broke off, whatever the transport makes of that.
const (
	CopyHeaderSize = 4
	CopyEnd        = 1<<32 - 1
	// MaxCopyFrame bounds the bytes of one frame.
	MaxCopyFrame = 1 << 20
	// CopyPulse is how long a sender is silent at most: a third of what makes a
	// receiver lose patience.
	CopyPulse = CopyPatience / 3
	// CopyPatience is how long a receiver waits for the next byte.
	CopyPatience = 30 * time.Second
)

// MaxOrderWait is how long an agent holds a call back that gives an order, for
// the order to be done.
const MaxOrderWait = 20 * time.Second
