package pki

import (
	"encoding/binary"
	"time"
)

// A machine that refuses a certificate because of its clock cannot say so: the
// TLS alert has no room for it. So its clock travels in the handshake before,
// where the answer to "signed_certificate_timestamp" (RFC 6962, section 3.3)
// holds a timestamp of no log and without a signature. Whoever does not expect
// it passes over it; like the rest of the handshake it is authenticated by the
// machine's key.

// The layout of such a timestamp: version, log id, milliseconds, the length of
// no extensions, the algorithm and the length of no signature.
const (
	stampTime = 1 + 32
	stampSize = stampTime + 8 + 2 + 2 + 2
)

// ClockStamp returns the timestamp that carries a machine's clock.
func ClockStamp(now time.Time) []byte {
	stamp := make([]byte, stampSize)
	binary.BigEndian.PutUint64(stamp[stampTime:], uint64(max(now.UnixMilli(), 0))) //nolint:gosec // not negative
	return stamp
}

// ReadClockStamp returns the clock in a handshake's timestamps, if there is one.
func ReadClockStamp(stamps [][]byte) (time.Time, bool) {
	if len(stamps) != 1 || len(stamps[0]) != stampSize {
		return time.Time{}, false
	}
	milliseconds := binary.BigEndian.Uint64(stamps[0][stampTime:])
	if milliseconds > 1<<53 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(milliseconds)).UTC(), true //nolint:gosec // at most 2^53
}
