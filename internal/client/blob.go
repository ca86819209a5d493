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
// that breaks off goes on where it was.
func (m *Machine) UploadBlob(ctx context.Context, sha256 string, content io.ReaderAt, size int64) error {
	path := "/v1/blobs/sha256:" + sha256
	pause := newBackoff()
	for stalls, reached := 0, int64(-1); ; stalls++ {
		status, err := m.blobStatus(ctx, path)
		if err == nil && status.Complete {
			return nil
		}
		if err == nil && status.Offset > reached {
			stalls, reached = 0, status.Offset
		}
		if err == nil {
			err = m.uploadFrom(ctx, path, content, status.Offset, size)
		}
		if err == nil {
			return nil
		}
		if lost, ok := errors.AsType[*Unreachable](err); !ok || !lost.Sent && reached < 0 || stalls == maxStalls {
			return fmt.Errorf("upload blob %s: %w", sha256, err)
		}
		if err := pause.wait(ctx); err != nil {
			return fmt.Errorf("upload blob %s: %w", sha256, err)
		}
	}
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

func (m *Machine) uploadFrom(ctx context.Context, path string, content io.ReaderAt, offset, size int64) error {
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
	}
	_, err := m.do(ctx, call{method: http.MethodPut, path: path, timeout: finishTimeout}, nil)
	return err
}
