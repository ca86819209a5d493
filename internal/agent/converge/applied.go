package converge

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

// KeepTrees is how many trees of one component stand at most: the wanted one
// and those of the versions before it, to look at or to return to.
const KeepTrees = 5

// Applied is a state as it was put in place. It is what a machine is compared
// with later (see [Engine.Drift]), never a fresh rendering: a new agent that
// renders differently has not found a drift.
type Applied struct {
	// State lacks the content of secret files.
	State State `json:"state"`
	// Sums are the SHA-256 of the files' contents, by path.
	Sums map[string]string `json:"sums,omitempty"`
	// Kept are trees of earlier versions that still stand, newest first.
	Kept []Tree `json:"kept,omitempty"`
}

// NewApplied returns what is to be recorded once a state is in place of
// another, of which there may be none.
func NewApplied(from *Applied, to State) Applied {
	kept, _ := retire(from, &to)
	return Applied{State: to.WithoutSecrets(), Sums: sums(to), Kept: kept}
}

// WithoutSecrets returns the state without the content of its secret files.
func (s State) WithoutSecrets() State {
	s.Files = slices.Clone(s.Files)
	for i := range s.Files {
		if s.Files[i].Secret {
			s.Files[i].Content = nil
		}
	}
	return s
}

func sums(s State) map[string]string {
	out := make(map[string]string, len(s.Files))
	for _, f := range s.Files {
		out[f.Path] = sum(f.Content)
	}
	return out
}

func sum(content []byte) string {
	h := sha256.Sum256(content)
	return hex.EncodeToString(h[:])
}

// retire sorts the trees that are not wanted any more into those that are
// kept and those that go. With the component goes everything.
func retire(from *Applied, to *State) (kept, gone []Tree) {
	if from == nil {
		return nil, nil
	}
	earlier := slices.Concat(from.State.Trees, from.Kept)
	if to == nil {
		return nil, earlier
	}
	for _, t := range earlier {
		same := func(o Tree) bool { return o.Path == t.Path }
		switch {
		case slices.ContainsFunc(to.Trees, same) || slices.ContainsFunc(kept, same):
		case len(to.Trees)+len(kept) < KeepTrees:
			kept = append(kept, t)
		default:
			gone = append(gone, t)
		}
	}
	return kept, gone
}

// paths returns the paths of all files and links of a state.
func (s State) paths() []string {
	var out []string
	for _, f := range s.Files {
		out = append(out, f.Path)
	}
	for _, l := range s.Links {
		out = append(out, l.Path)
	}
	return out
}

func (s State) units() []string {
	var out []string
	for _, u := range s.Units {
		out = append(out, u.Name)
	}
	return out
}
