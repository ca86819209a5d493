package tfutil

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Violations returns what is wrong with a configuration of which some values may
// still be unknown, and only what stays wrong whatever those turn out to be.
//
// It puts two different guesses in the place of each unknown value and has
// both checked: what is found just once, or touches an unknown value, comes
// from the guess. Where even the keys of a map are unknown nothing is checked,
// since other values may refer to them.
func Violations(ctx context.Context, config tfsdk.Config, paths Paths, check func(tfsdk.Config) api.Violations) (api.Violations, error) {
	var found [2]api.Violations
	var unknown [][]string
	for round := range found {
		g := guesser{ctx: ctx, config: config, round: round}
		known, err := tftypes.Transform(config.Raw, g.guess)
		if err != nil {
			return nil, fmt.Errorf("put guesses in the place of unknown values: %w", err)
		}
		if g.hopeless {
			return nil, nil
		}
		unknown = g.unknown
		found[round] = check(tfsdk.Config{Schema: config.Schema, Raw: known})
	}
	return slices.DeleteFunc(found[0], func(v api.Violation) bool {
		steps := paths.rename(v.Pointer.Steps())
		return !slices.Contains(found[1], v) ||
			slices.ContainsFunc(unknown, func(other []string) bool { return related(steps, other) })
	}), nil
}

// guesser replaces unknown values and remembers where they were.
type guesser struct {
	ctx    context.Context
	config tfsdk.Config
	round  int
	// unknown are the places, each a list of attribute names and keys.
	unknown [][]string
	// hopeless tells that a map is unknown.
	hopeless bool
}

// guess is a callback of [tftypes.Transform].
func (g *guesser) guess(at *tftypes.AttributePath, value tftypes.Value) (tftypes.Value, error) {
	if value.IsKnown() {
		return value, nil
	}
	g.unknown = append(g.unknown, pathSteps(at))
	t := value.Type()
	switch {
	case t.Is(tftypes.Map{}):
		g.hopeless = true
		return tftypes.NewValue(t, nil), nil
	case t.Is(tftypes.List{}), t.Is(tftypes.Set{}):
		return tftypes.NewValue(t, []tftypes.Value{}), nil
	case t.Is(tftypes.Object{}):
		return emptyObject(t), nil
	case t.Is(tftypes.Bool):
		return tftypes.NewValue(t, g.round == 1), nil
	case t.Is(tftypes.Number):
		return tftypes.NewValue(t, g.number()), nil
	case t.Is(tftypes.String):
		return tftypes.NewValue(t, g.text(at)), nil
	}
	return tftypes.NewValue(t, nil), nil
}

// number returns a number that no other guess of either round is. It is a
// valid port, so that it breaks as few rules as can be.
func (g *guesser) number() int {
	const first, perRound = 50_000, 5_000
	return first + g.round*perRound + len(g.unknown)
}

// text returns a text that no other guess of either round is.
func (g *guesser) text(at *tftypes.AttributePath) string {
	t, err := g.config.Schema.TypeAtTerraformPath(g.ctx, at)
	if err == nil && t.Equal(attr.Type(DurationType{})) {
		return strconv.Itoa(g.number()) + "ms"
	}
	return "unknown-" + strconv.Itoa(g.number())
}

func emptyObject(t tftypes.Type) tftypes.Value {
	object, ok := t.(tftypes.Object)
	if !ok {
		return tftypes.NewValue(t, nil)
	}
	values := make(map[string]tftypes.Value, len(object.AttributeTypes))
	for name, member := range object.AttributeTypes {
		values[name] = tftypes.NewValue(member, nil)
	}
	return tftypes.NewValue(t, values)
}

// pathSteps returns the names, keys and indices that lead to a value; an
// element of a set has none, so the path ends at the set.
func pathSteps(at *tftypes.AttributePath) []string {
	var steps []string
	for _, step := range at.Steps() {
		switch s := step.(type) {
		case tftypes.AttributeName:
			steps = append(steps, string(s))
		case tftypes.ElementKeyString:
			steps = append(steps, string(s))
		case tftypes.ElementKeyInt:
			steps = append(steps, strconv.FormatInt(int64(s), 10))
		default:
			return steps
		}
	}
	return steps
}

// related reports whether one place is the other, or lies within it.
func related(a, b []string) bool {
	n := min(len(a), len(b))
	return slices.Equal(a[:n], b[:n])
}
