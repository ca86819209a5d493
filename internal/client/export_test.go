package client

import (
	"bytes"
	"context"
	"io"
	"time"
)

// ReadFrames reads a copy of a database out of its frames.
func ReadFrames(sent []byte) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	stalled := time.AfterFunc(time.Hour, func() {})
	r := &copyReader{body: io.NopCloser(bytes.NewReader(sent)), ctx: ctx, cancel: cancel, stalled: stalled, patience: time.Hour, machine: "web1"}
	defer r.Close() //nolint:errcheck // memory
	return io.ReadAll(r)
}
