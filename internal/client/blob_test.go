package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
)

const sum = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

// blob is the blob store of a fake agent.
type blob struct {
	mu       sync.Mutex
	data     []byte
	complete bool
	// damaged makes the end of an upload fail once, as where what arrived before
	// is damaged.
	damaged bool
	// patch may refuse a chunk before it is stored.
	patch func(chunk int) error
	chunk int
	// lost is the chunk that is stored and not answered.
	lost int
}

func (b *blob) serve(f *fake) {
	f.mux.HandleFunc("HEAD /v1/blobs/sha256:"+sum, func(w http.ResponseWriter, _ *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		w.Header().Set(api.HeaderUploadOffset, fmt.Sprint(len(b.data)))
		w.Header().Set(api.HeaderUploadComplete, fmt.Sprint(b.complete))
	})
	f.handle("PATCH /v1/blobs/sha256:"+sum, func(r *http.Request, body string) (any, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.chunk++
		if b.patch != nil {
			if err := b.patch(b.chunk); err != nil {
				return nil, err
			}
		}
		if want := fmt.Sprintf("bytes %d-%d/", len(b.data), len(b.data)+len(body)-1); !strings.HasPrefix(r.Header.Get("Content-Range"), want) || len(body) > api.MaxChunk {
			return nil, fmt.Errorf("range %s, want %s", r.Header.Get("Content-Range"), want)
		}
		b.data = append(b.data, body...)
		if b.chunk == b.lost {
			return nil, errCut
		}
		return api.BlobStatus{Offset: int64(len(b.data))}, nil
	})
	f.handle("PUT /v1/blobs/sha256:"+sum, func(*http.Request, string) (any, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.damaged {
			b.damaged, b.data = false, nil
			return nil, &api.Problem{Type: api.ProblemInvalid, Title: "The upload is damaged"}
		}
		b.complete = true
		return api.BlobStatus{Complete: true}, nil
	})
}

func content() []byte { return bytes.Repeat([]byte("0123456789abcde\n"), (2*api.MaxChunk+4096)/16) }

func TestUploadGoesOnWhereItWas(t *testing.T) {
	f, b := newFake(t), &blob{data: content()[:100]}
	b.patch = func(chunk int) error {
		if chunk == 2 {
			return errCut
		}
		return nil
	}
	b.serve(f)
	m := call(t, f.target(), options())
	if err := m.UploadBlob(t.Context(), sum, bytes.NewReader(content()), int64(len(content())), nil); err != nil {
		t.Fatal(err)
	}
	if !b.complete || !bytes.Equal(b.data, content()) {
		t.Errorf("complete %t with %d bytes", b.complete, len(b.data))
	}
	before := b.chunk
	if err := m.UploadBlob(t.Context(), sum, bytes.NewReader(content()), int64(len(content())), nil); err != nil || b.chunk != before {
		t.Errorf("a blob that is there was sent again: %v", err)
	}
}

// A chunk that may have arrived is not sent again, also by who waits for an agent
// that restarts: the agent is asked first how much it has.
func TestAChunkThatMayHaveArrivedIsNotRepeated(t *testing.T) {
	f, b := newFake(t), &blob{lost: 2}
	b.serve(f)
	if err := call(t, f.target(), patientOptions()).UploadBlob(t.Context(), sum, bytes.NewReader(content()), int64(len(content())), nil); err != nil {
		t.Fatal(err)
	}
	if !b.complete || !bytes.Equal(b.data, content()) || b.chunk != 3 {
		t.Errorf("complete %t with %d bytes in %d chunks", b.complete, len(b.data), b.chunk)
	}
}

func TestUploadsAtOnceSendABlobOnce(t *testing.T) {
	f, b := newFake(t), &blob{}
	b.serve(f)
	m := call(t, f.target(), options())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := m.UploadBlob(t.Context(), sum, bytes.NewReader(content()), int64(len(content())), nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if b.chunk != 3 {
		t.Errorf("%d chunks were sent", b.chunk)
	}
}

func TestUploadEnds(t *testing.T) {
	full := &api.Problem{Type: api.ProblemInternal, Title: "The store is full"}
	for name, test := range map[string]struct {
		fail  error
		tries int
		want  func(error) bool
	}{
		"at a problem":         {full, 1, func(err error) bool { return api.IsProblem(err, api.ProblemInternal) }},
		"when nothing gets on": {errCut, 5, func(err error) bool { _, ok := errors.AsType[*client.Unreachable](err); return ok }},
	} {
		t.Run(name, func(t *testing.T) {
			f, b := newFake(t), &blob{}
			var tries atomic.Int64
			b.patch = func(int) error { tries.Add(1); return test.fail }
			b.serve(f)
			err := call(t, f.target(), options()).UploadBlob(t.Context(), sum, bytes.NewReader(content()), int64(len(content())), nil)
			if !test.want(err) || int(tries.Load()) < test.tries {
				t.Errorf("got %v after %d tries", err, tries.Load())
			}
		})
	}
	f := newFake(t)
	(&blob{}).serve(f)
	err := call(t, f.target(), options()).UploadBlob(t.Context(), sum, bytes.NewReader(nil), 10, nil)
	if err == nil || !strings.Contains(err.Error(), "read the content at byte 0") {
		t.Errorf("a file that is shorter than it said: %v", err)
	}
	f.stop()
	err = call(t, f.target(), options()).UploadBlob(t.Context(), sum, bytes.NewReader(nil), 0, nil)
	isA[*client.Unreachable](t, err)
}

// Whoever waits for an upload sees where it went on, and each part that arrived.
func TestUploadSaysHowFarItIs(t *testing.T) {
	f, b := newFake(t), &blob{data: content()[:100]}
	b.serve(f)
	var sent []int64
	m := call(t, f.target(), options())
	for range 2 { // the second time there is nothing to be sent
		if err := m.UploadBlob(t.Context(), sum, bytes.NewReader(content()), int64(len(content())), func(n int64) { sent = append(sent, n) }); err != nil {
			t.Fatal(err)
		}
	}
	if want := []int64{100, 100 + api.MaxChunk, 100 + 2*api.MaxChunk, int64(len(content()))}; !slices.Equal(sent, want) {
		t.Errorf("it said %v, want %v", sent, want)
	}
}

// What arrived before a machine lost its power may be damaged: the machine throws
// it away, and all is sent again. An upload that is damaged from its beginning on
// is not: the file was changed meanwhile.
func TestAnUploadThatWentOnFromDamagedBytesBeginsAgain(t *testing.T) {
	for name, test := range map[string]struct {
		before []byte
		good   bool
	}{
		"went on":          {[]byte("damaged"), true},
		"was sent at once": {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			f, b := newFake(t), &blob{data: test.before, damaged: true}
			b.serve(f)
			err := call(t, f.target(), options()).UploadBlob(t.Context(), sum, bytes.NewReader(content()), int64(len(content())), nil)
			if test.good && (err != nil || !bytes.Equal(b.data, content())) || !test.good && !api.IsProblem(err, api.ProblemInvalid) {
				t.Errorf("it ends with %v and %d bytes", err, len(b.data))
			}
		})
	}
}
