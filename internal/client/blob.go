package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	// chunkTimeout bounds one chunk of an upload: 4 MiB pass in it at 35 kB/s.
	chunkTimeout = 2 * time.Minute
	// finishTimeout bounds the end of an upload, in which the machine computes
	// a checksum and waits for its disk.
	finishTimeout = 5 * time.Minute
	// maxStalls bounds how often in a row an upload may break off without
	// having got on.
	maxStalls = 5
)

// UploadBlob brings size bytes, whose SHA-256 in hexadecimal is sha256, into
// the machine's blob store, and returns at once if they are there. An upload
// that breaks off goes on where it was, also one of an earlier run. The machine
// has so many bytes whenever sent is called, which may be nil: first with what it
// had of an upload that goes on.
func (m *Machine) UploadBlob(ctx context.Context, sha256 string, content io.ReaderAt, size int64, sent func(bytes int64)) error {
	if sent == nil {
		sent = func(int64) {}
	}
	select {
	case m.uploading <- struct{}{}:
		defer func() { <-m.uploading }()
	case <-ctx.Done():
		return fmt.Errorf("upload %s: wait for another upload: %w", sha256, context.Cause(ctx))
	}
	if err := m.upload(ctx, "/v1/blobs/sha256:"+sha256, content, size, sent); err != nil {
		return fmt.Errorf("upload %s: %w", sha256, err)
	}
	return nil
}

// upload tries until the blob is there, and gives up on a machine that was
// never reached, or with which no byte gets on any more. Where an upload went on
// and is damaged in the end, it is what had arrived before: the machine has thrown
// it away, and all of it is sent once more.
func (m *Machine) upload(ctx context.Context, path string, content io.ReaderAt, size int64, sent func(bytes int64)) error {
	pause := newBackoff()
	reached, again := int64(-1), false
	for stalls := 0; ; stalls++ {
		offset, err := m.uploadOnce(ctx, path, content, size, sent)
		if err == nil {
			return nil
		}
		if api.IsProblem(err, api.ProblemInvalid) && offset > 0 && !again {
			again = true
			continue
		}
		if offset > reached {
			stalls, reached = 0, offset
		}
		lost, ok := errors.AsType[*Unreachable](err)
		if !ok || !lost.Sent && reached < 0 || stalls == maxStalls || pause.wait(ctx) != nil {
			return err
		}
	}
}

// uploadOnce sends what the machine lacks, and returns how much it had of it
// before; -1 if it did not say.
func (m *Machine) uploadOnce(ctx context.Context, path string, content io.ReaderAt, size int64, sent func(bytes int64)) (int64, error) {
	status, err := m.blobStatus(ctx, path)
	if err != nil {
		return -1, err
	}
	if status.Complete {
		return size, nil
	}
	if status.Offset > 0 {
		sent(status.Offset)
	}
	return status.Offset, m.uploadFrom(ctx, path, content, status.Offset, size, sent)
}

// blobStatus returns how much of a blob the machine has; nothing of one that
// it does not know.
func (m *Machine) blobStatus(ctx context.Context, path string) (api.BlobStatus, error) {
	header, err := m.do(ctx, call{method: http.MethodHead, path: path}, nil)
	if api.IsProblem(err, api.ProblemNotFound) {
		return api.BlobStatus{}, nil
	}
	if err != nil {
		return api.BlobStatus{}, err
	}
	offset, err := strconv.ParseInt(header.Get(api.HeaderUploadOffset), 10, 64)
	if err != nil || offset < 0 {
		return api.BlobStatus{}, fmt.Errorf("machine %s answers %q as the offset of a blob", m.target.Name, header.Get(api.HeaderUploadOffset))
	}
	return api.BlobStatus{Offset: offset, Complete: header.Get(api.HeaderUploadComplete) == "true"}, nil
}

func (m *Machine) uploadFrom(ctx context.Context, path string, content io.ReaderAt, offset, size int64, sent func(bytes int64)) error {
	chunk := make([]byte, min(api.MaxChunk, max(size-offset, 0)))
	for offset < size {
		part := chunk[:min(int64(len(chunk)), size-offset)]
		if n, err := content.ReadAt(part, offset); n < len(part) {
			return fmt.Errorf("read the content at byte %d: %w", offset, err)
		}
		last := offset + int64(len(part)) - 1
		_, err := m.do(ctx, call{
			method: http.MethodPatch, path: path, body: part, timeout: chunkTimeout,
			header: http.Header{
				"Content-Type":  {"application/octet-stream"},
				"Content-Range": {fmt.Sprintf("bytes %d-%d/%d", offset, last, size)},
			},
		}, nil)
		if err != nil {
			return err
		}
		offset = last + 1
		sent(offset)
	}
	_, err := m.do(ctx, call{method: http.MethodPut, path: path, timeout: finishTimeout}, nil)
	return err
}
