package artifact

import (
	"compress/flate"
	"compress/gzip"
	"errors"
	"io"
)

// gunzip is the content of a gzip file of any number of members.
type gunzip struct {
	packed  packed
	member  *gzip.Reader
	members int // so far, with this one
}

func newGunzip(p packed) (*gunzip, error) {
	g := &gunzip{packed: p, members: 1}
	member, err := gzip.NewReader(p)
	if err != nil {
		return nil, g.explain(err)
	}
	member.Multistream(false)
	g.member = member
	return g, nil
}

// Read returns no bytes and no error at the end of a member.
func (g *gunzip) Read(p []byte) (int, error) {
	n, err := g.member.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		err = g.next()
	case err != nil:
		err = g.explain(err)
	}
	return n, err
}

// next goes on with the next member; [io.EOF] if there is none.
func (g *gunzip) next() error {
	head, err := g.packed.head(len(gzipMagic))
	switch {
	case err != nil:
		return err
	case len(head) == 0:
		return io.EOF
	case string(head) != gzipMagic:
		return bytesAfterEnd()
	}
	if g.members++; g.members > MaxMembers {
		return refuse("", "has more than %d gzip members, which is the limit; %s", MaxMembers, packWith)
	}
	if err := g.member.Reset(g.packed); err != nil {
		return g.explain(err)
	}
	g.member.Multistream(false)
	return nil
}

// explain turns an error of the decompression into an [Error].
func (g *gunzip) explain(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case g.packed.source.err != nil:
		return g.packed.source.err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return cutShort()
	case errors.Is(err, gzip.ErrChecksum):
		return wrongChecksum(gzipped)
	case errors.Is(err, gzip.ErrHeader), errors.As(err, &corrupt):
		return undecodable(err)
	}
	return refuse("", "cannot be decompressed: %v", err)
}
