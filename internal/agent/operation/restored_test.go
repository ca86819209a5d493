package operation

import (
	"errors"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// TestTheLogIsNamedWhereThereIsOne: foobar-agent logs knows no component that was never
// there and has written nothing.
func TestTheLogIsNamedWhereThereIsOne(t *testing.T) {
	id := api.ID{Kind: api.KindAppServer, Name: "shop"}
	for name, c := range map[string]struct {
		record *Record
		err    error
		named  bool
	}{
		"a new one that did not start": {nil, &api.Problem{}, false},
		"a new one, cut off":           {nil, errors.New("late"), false},
		"a new one that started":       {nil, errors.Join(errors.New("late"), &api.Problem{Log: []string{"bye"}}), true},
		"one that was there before":    {&Record{}, &api.Problem{}, true},
	} {
		got := restored(id, c.record, false, logged(c.err))
		if named := strings.Contains(got, `"foobar-agent logs app-server/shop" shows the log`); named != c.named || !strings.HasPrefix(got, "the change was undone: ") {
			t.Errorf("%s: %q, the log is named: %t", name, got, named)
		}
	}
}
