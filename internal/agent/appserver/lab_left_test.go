//go:build lab

package appserver_test

import (
	"context"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/loadtest"
)

// leave has a slot hold the links of a release that nobody has recorded, as a change
// whose journal is damaged does: its release lies unpacked, with files for /a/.
func (s *stand) leave(name, slot string) (left []string) {
	s.Helper()
	home := "/srv/" + name
	lost, half, link := home+"/releases/0123456789ab", home+"/releases/.ba9876543210.foobar-new", home+"/slots/"+slot+"/static/+a+/a"
	for _, dir := range []string{lost + "/public", half, home + "/slots/" + slot + "/static/+a+"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			s.Fatal(err)
		}
	}
	if err := os.WriteFile(lost+"/public/file", []byte("of nobody"), 0o644); err != nil {
		s.Fatal(err)
	}
	if err := os.Remove(link); err != nil && !os.IsNotExist(err) {
		s.Fatal(err)
	}
	if err := os.Symlink(lost+"/public", link); err != nil {
		s.Fatal(err)
	}
	return []string{lost, half, link}
}

// What a change that was broken off has left is not served by the next one, which takes
// it away; and with the app server goes all that it has.
func TestWhatNobodyRecordedIsNotServed(t *testing.T) {
	s := newStand(t)
	release := func(name string) api.AppServer {
		files := python(name)
		files["public/file"] = entry{"a file of " + name, 0o644}
		return s.spec(s.upload(files), 8081)
	}
	first, second := release("first"), release("second")
	first.Static = map[string]api.StaticDirectory{"/a/": {Directory: "public"}}
	s.apply("left", first, nil)
	served := "green"
	if strings.Contains(s.live("left"), served) {
		t.Fatal("the first release is in the first slot")
	}
	left := s.leave("left", served)
	// A client that asks while nginx still knows /a/ of the first release gets what that has, or
	// what the second app says: never what nobody applied.
	ctx, cancel := context.WithCancel(context.Background())
	asked := make(chan []string, 1)
	file := func(ctx context.Context) string {
		c := &loadtest.Client{Address: "127.0.0.1:8081", Close: true, Texts: true}
		return bodyOf(c.Send(ctx, http.MethodGet, "/a/file", "", nil))
	}
	go func() {
		var wrong []string
		for ctx.Err() == nil {
			if got := file(context.WithoutCancel(ctx)); got == "of nobody" {
				wrong = append(wrong, got)
			}
		}
		asked <- wrong
	}()
	s.apply("left", second, nil)
	cancel()
	if wrong := <-asked; len(wrong) > 0 {
		t.Errorf("%d answers were of what nobody applied", len(wrong))
	}
	gone := func(when string, paths ...string) {
		t.Helper()
		for _, path := range paths {
			if _, err := os.Lstat(path); !os.IsNotExist(err) {
				t.Errorf("%s there is still %s: %v", when, path, err)
			}
		}
	}
	gone("after a release", left...)
	if got := file(t.Context()); !strings.Contains(got, `"release": "second"`) {
		t.Errorf("/a/file is %.100q", got)
	}
	left = slices.Concat(s.leave("left", "blue"), s.leave("left", "green"))
	s.deleteAll()
	gone("after the end", append(left, "/srv/left")...)
	if _, err := s.runner.Purge(context.Background(), app("left"), "left"); err != nil {
		t.Errorf("purge: %v", err)
	}
}
