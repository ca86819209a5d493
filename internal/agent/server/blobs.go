package server

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strconv"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Blobs keeps artifacts by their checksum. An upload can be broken off at any
// time and goes on where it was.
type Blobs interface {
	// Status tells how much of a blob is there; nothing, or a damaged one, is no error.
	Status(ctx context.Context, sha256 string) (api.BlobStatus, error)
	// Append adds what r holds at offset, which must be the present end, to a
	// blob of total bytes. Bytes that arrived before r failed stay. A blob that
	// has no room is refused with [api.ProblemQuota].
	Append(ctx context.Context, sha256 string, offset, total int64, r io.Reader) (api.BlobStatus, error)
	// Finish compares the checksum and makes the blob complete.
	Finish(ctx context.Context, sha256 string) error
}

var sha256Pattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// blobStatus answers in headers, because HEAD has no body.
func (s *Server) blobStatus(c *call) (answer, error) {
	sum, err := c.checksum()
	if err != nil {
		return answer{}, err
	}
	status, err := s.Blobs.Status(c.Context(), sum)
	return answer{status: http.StatusOK, header: uploadHeader(status)}, err
}

func (s *Server) blobAppend(c *call) (answer, error) {
	sum, err := c.checksum()
	if err != nil {
		return answer{}, err
	}
	part, err := c.contentRange()
	if err != nil {
		return answer{}, err
	}
	status, err := s.Blobs.Append(c.Context(), sum, part.first, part.total, c.Body)
	return answer{status: http.StatusOK, body: status, header: uploadHeader(status)}, err
}

func (s *Server) blobFinish(c *call) (answer, error) {
	sum, err := c.checksum()
	if err != nil {
		return answer{}, err
	}
	if err := s.Blobs.Finish(c.Context(), sum); err != nil {
		return answer{}, err
	}
	status, err := s.Blobs.Status(c.Context(), sum)
	return answer{status: http.StatusOK, body: status, header: uploadHeader(status)}, err
}

func uploadHeader(status api.BlobStatus) http.Header {
	return http.Header{
		api.HeaderUploadOffset:   {strconv.FormatInt(status.Offset, 10)},
		api.HeaderUploadComplete: {strconv.FormatBool(status.Complete)},
	}
}

func (c *call) checksum() (string, error) {
	sum := c.params["sha256"]
	if !sha256Pattern.MatchString(sum) {
		return "", invalid("%q is no SHA-256: give 64 lower-case hexadecimal digits", sum)
	}
	return sum, nil
}

// byteRange is a part of a blob: the bytes first to last, both included, of total.
type byteRange struct{ first, last, total int64 }

// rangePattern is that of RFC 9110 section 14.4, without the forms that leave
// something open.
var rangePattern = regexp.MustCompile(`^bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})$`)

// contentRange returns the part that the body holds.
func (c *call) contentRange() (byteRange, error) {
	text := c.Header.Get("Content-Range")
	part, ok := parseRange(text)
	switch length := part.last - part.first + 1; {
	case text == "":
		return part, invalid(`the header Content-Range is missing: it holds the place of the body in the blob, such as "bytes 0-4194303/10485760"`)
	case !ok:
		return part, invalid(`the header Content-Range is %q: give it as "bytes <first>-<last>/<total>", with all three known`, text)
	case length > api.MaxChunk:
		return part, invalid("the header Content-Range is %q, which is %d bytes: give at most %d at a time", text, length, api.MaxChunk)
	case c.ContentLength != length:
		return part, invalid("the header Content-Range is %q, which is %d bytes, but the body has %d", text, length, c.ContentLength)
	}
	return part, nil
}

func parseRange(text string) (byteRange, bool) {
	found := rangePattern.FindStringSubmatch(text)
	if found == nil {
		return byteRange{}, false
	}
	var n [3]int64
	for i, digits := range found[1:] {
		n[i], _ = strconv.ParseInt(digits, 10, 64) // at most 18 digits, so it fits
	}
	part := byteRange{first: n[0], last: n[1], total: n[2]}
	return part, part.first <= part.last && part.last < part.total
}
