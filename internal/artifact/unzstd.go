package artifact

import (
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
)

// unzstd is the content of a zstd file of any number of frames.
type unzstd struct {
	packed  packed
	decoder *zstd.Decoder
}

func newUnzstd(p packed) (*unzstd, error) {
	head, err := p.head(zstd.HeaderMaxSize)
	if err != nil {
		return nil, err
	}
	var first zstd.Header
	if first.Decode(head) == nil { // else the decoder says what is wrong
		window := first.WindowSize
		if first.SingleSegment {
			window = first.FrameContentSize
		}
		if window > MaxWindow {
			return nil, refuse("", "was compressed with a zstd window of %d MiB, and at most %d MiB are allowed; compress it without --ultra and --long, at level 19 at most", window>>20, MaxWindow>>20)
		}
	}
	decoder, err := zstd.NewReader(p,
		zstd.WithDecoderMaxWindow(MaxWindow), zstd.WithDecoderMaxMemory(MaxWindow),
		zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true)) // no goroutine, and no more memory than the window needs
	if err != nil {
		return nil, (&unzstd{packed: p}).explain(err)
	}
	return &unzstd{p, decoder}, nil
}

// Read implements [io.Reader].
func (u *unzstd) Read(p []byte) (int, error) {
	n, err := u.decoder.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = u.explain(err)
	}
	return n, err
}

// Close gives the decoder's memory back.
func (u *unzstd) Close() { u.decoder.Close() }

// explain turns an error of the decompression into an [Error].
func (u *unzstd) explain(err error) error {
	switch {
	case u.packed.source.err != nil:
		return u.packed.source.err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return cutShort()
	case errors.Is(err, zstd.ErrCRCMismatch):
		return wrongChecksum(zstandard)
	case errors.Is(err, zstd.ErrMagicMismatch): // of a second frame: the first was recognised
		return bytesAfterEnd()
	case errors.Is(err, zstd.ErrUnknownDictionary):
		return refuse("", "was compressed with a dictionary, which no machine has; compress it without one")
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded): // or of a second frame
		return refuse("", "is damaged, or was compressed with a zstd window of more than %d MiB; build it again, without --ultra and --long", MaxWindow>>20)
	}
	return undecodable(err)
}
