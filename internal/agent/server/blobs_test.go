package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// artifact is a blob of a bit more than two chunks.
func artifact() (content string, path string) {
	content = string(bytes.Repeat([]byte("0123456789abcdef"), (2*api.MaxChunk+100)/16))
	sum := sha256.Sum256([]byte(content))
	return content, "/v1/blobs/sha256:" + hex.EncodeToString(sum[:])
}

// upload sends the part [from, to) of a blob.
func (b *bench) upload(path, content string, from, to int) api.BlobStatus {
	b.t.Helper()
	answer := b.change("PATCH", path, content[from:to], "Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(content)))
	if answer.Code != http.StatusOK {
		b.t.Fatalf("PATCH %d-%d: %d %s", from, to, answer.Code, answer.Body)
	}
	return read[api.BlobStatus](b.t, answer)
}

// head returns what HEAD tells of a blob.
func (b *bench) head(path string) string {
	b.t.Helper()
	answer := b.call("HEAD", path, "")
	if answer.Code != http.StatusOK || answer.Body.Len() > 0 {
		b.t.Fatalf("HEAD: %d %q", answer.Code, answer.Body)
	}
	return answer.Header().Get(api.HeaderUploadOffset) + " " + answer.Header().Get(api.HeaderUploadComplete)
}

func TestBlobIsUploadedInPartsAndResumed(t *testing.T) {
	b := newBench(t, true)
	content, path := artifact()
	if got := b.head(path); got != "0 false" {
		t.Errorf("before the upload: %s", got)
	}
	b.upload(path, content, 0, 1000)
	if got := b.head(path); got != "1000 false" { // the caller was killed, and asks where to go on
		t.Errorf("after the first part: %s", got)
	}
	b.upload(path, content, 1000, 1000+api.MaxChunk)
	status := b.upload(path, content, 1000+api.MaxChunk, len(content))
	if status != (api.BlobStatus{Offset: int64(len(content))}) {
		t.Errorf("after the last part: %+v", status)
	}
	answer := b.change("PUT", path, "")
	if got := read[api.BlobStatus](t, answer); !got.Complete {
		t.Errorf("after PUT: %d %+v", answer.Code, got)
	}
	if got := b.head(path); got != fmt.Sprintf("%d true", len(content)) {
		t.Errorf("in the end: %s", got)
	}
}

func TestBlobWithAnotherChecksumIsRefused(t *testing.T) {
	b := newBench(t, true)
	content, path := artifact()
	b.upload(path, strings.Replace(content, "0", "1", 1), 0, api.MaxChunk)
	wantProblem(t, b.change("PUT", path, ""), api.ProblemInvalid, "have the SHA-256")
	wantProblem(t, b.change("PUT", path, ""), api.ProblemBlobMissing, "")
}

func TestPatchRefuses(t *testing.T) {
	_, path := artifact()
	tests := map[string]struct{ path, contentRange, body, want string }{
		"no range":                  {path, "", "abc", "the header Content-Range is missing"},
		"a range without an end":    {path, "bytes 0-/3", "abc", `is "bytes 0-/3"`},
		"a range of unknown size":   {path, "bytes 0-2/*", "abc", "with all three known"},
		"a range beyond the end":    {path, "bytes 0-2/2", "abc", "with all three known"},
		"a range backwards":         {path, "bytes 2-0/3", "abc", "with all three known"},
		"numbers beyond all":        {path, "bytes 0-99999999999999999999/3", "abc", "with all three known"},
		"another length":            {path, "bytes 0-3/4", "abc", "is 4 bytes, but the body has 3"},
		"too much at once":          {path, fmt.Sprintf("bytes 0-%d/%d", api.MaxChunk, api.MaxChunk+1), "abc", "give at most 4194304 at a time"},
		"not where the upload ends": {path, "bytes 5-7/8", "abc", "0 bytes of the blob"},
		"a checksum in capitals":    {"/v1/blobs/sha256:" + strings.ToUpper(sumOfNothing), "bytes 0-2/3", "abc", "is no SHA-256"},
		"a short checksum":          {"/v1/blobs/sha256:00", "bytes 0-2/3", "abc", "is no SHA-256"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var headers []string
			if test.contentRange != "" {
				headers = []string{"Content-Range", test.contentRange}
			}
			wantProblem(t, newBench(t, true).change("PATCH", test.path, test.body, headers...), api.ProblemInvalid, test.want)
		})
	}
}

func FuzzParseRange(f *testing.F) {
	for _, text := range []string{"bytes 0-0/1", "bytes 0-4194303/10485760", "bytes 1-0/2", "bytes */5", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		part, ok := parseRange(text)
		if !ok {
			return
		}
		if part.first < 0 || part.last < part.first || part.total <= part.last {
			t.Errorf("%q became %+v", text, part)
		}
	})
}
