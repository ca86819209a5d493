package tfutil

import (
	"strconv"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Paths turns JSON pointers into a spec into paths of a resource's attributes.
type Paths struct {
	// Type is the type of the resource's schema: it tells attributes, map
	// keys and list elements apart.
	Type attr.Type
	// Renamed holds the places that the model calls otherwise than the spec:
	// from a pointer into the spec to one into the model. A step "*" stands
	// for any one step and is carried over. The longest match counts.
	Renamed map[api.Pointer]api.Pointer
}

// Path returns the deepest attribute that the pointer leads to. It is empty
// for the whole spec, and for a pointer that leads nowhere.
func (p Paths) Path(pointer api.Pointer) path.Path {
	at, in := path.Empty(), p.Type
	for _, step := range p.rename(pointer.Steps()) {
		next, ok := at, false
		switch t := in.(type) {
		case attr.TypeWithAttributeTypes:
			in, ok = t.AttributeTypes()[step]
			next = at.AtName(step)
		case basetypes.MapTypable:
			next, in, ok = at.AtMapKey(step), elementType(t), true
		case basetypes.ListTypable: // a set has no places that can be named
			index, err := strconv.Atoi(step)
			next, in, ok = at.AtListIndex(index), elementType(t), err == nil
		}
		if !ok {
			return at
		}
		at = next
	}
	return at
}

func elementType(collection attr.Type) attr.Type {
	if t, ok := collection.(attr.TypeWithElementType); ok {
		return t.ElementType()
	}
	return nil
}

func (p Paths) rename(steps []string) []string {
	best, renamed := -1, steps
	for from, to := range p.Renamed {
		pattern := from.Steps()
		wild, ok := match(pattern, steps)
		if !ok || len(pattern) <= best {
			continue
		}
		best = len(pattern)
		renamed = append(fill(to.Steps(), wild), steps[len(pattern):]...)
	}
	return renamed
}

// match reports whether steps begin with the pattern, and what its "*" stood for.
func match(pattern, steps []string) (wild []string, ok bool) {
	if len(pattern) > len(steps) {
		return nil, false
	}
	for i, step := range pattern {
		if step == "*" {
			wild = append(wild, steps[i])
		} else if step != steps[i] {
			return nil, false
		}
	}
	return wild, true
}

func fill(pattern, wild []string) []string {
	filled := make([]string, 0, len(pattern))
	for _, step := range pattern {
		if step == "*" && len(wild) > 0 {
			step, wild = wild[0], wild[1:]
		}
		filled = append(filled, step)
	}
	return filled
}
