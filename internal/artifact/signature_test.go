package artifact_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact/artifacttest"
)

// vector returns a file that Debian's minisign has made.
func vector(tb testing.TB, name string) string {
	tb.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "minisign", name))
	if err != nil {
		tb.Fatal(err)
	}
	return string(content)
}

func digestOf(content string) artifact.Digest {
	h := artifact.NewHash()
	for _, part := range strings.SplitAfter(content, " ") { // in several writes
		h.Write([]byte(part))
	}
	return h.Sum(nil)
}

// Every way in which a signature cannot be used has a text of its own, at the
// attribute that is wrong.
func TestSignature(t *testing.T) {
	whole, legacy, key, second := vector(t, "artifact.minisig"), vector(t, "legacy.minisig"), vector(t, "throwaway.pub"), vector(t, "second.pub")
	bare := strings.Split(key, "\n")[1]
	lines := strings.SplitAfter(whole, "\n")
	other, _ := artifacttest.NewKey()
	for name, c := range map[string]struct {
		text     string
		keys     []string
		at, want string // both "" for a good one
	}{
		"good":                      {whole, []string{key}, "", ""},
		"bare key":                  {whole, []string{bare}, "", ""},
		"without the last newline":  {strings.TrimSpace(whole), []string{key}, "", ""},
		"line ends of Windows":      {strings.ReplaceAll(whole, "\n", "\r\n"), []string{key}, "", ""},
		"second of two keys":        {whole, []string{second, key}, "", ""},
		"made with the new key":     {vector(t, "second.minisig"), []string{key, second}, "", ""},
		"another key":               {whole, []string{second}, "signature", "was made with the key A8542D7749E48B47, and allowed is C7FBF28EEECEC71C; sign the file with that key, or add"},
		"two other keys":            {whole, []string{second, other}, "signature", "allowed is C7FBF28EEECEC71C or "},
		"another file":              {vector(t, "other.minisig"), []string{key}, "signature", "belongs to another file"},
		"changed trusted comment":   {strings.Replace(whole, "1.4.0", "1.5.0", 1), []string{key}, "signature", "it was changed"},
		"comment of another":        {lines[0] + lines[1] + strings.Join(strings.SplitAfter(vector(t, "other.minisig"), "\n")[2:], ""), []string{key}, "signature", "it was changed"},
		"old format":                {legacy, []string{key}, "signature", "is of minisign's old format"},
		"cut after three lines":     {strings.Join(lines[:3], ""), []string{key}, "signature", "was cut short: it has 3 of the 4 lines"},
		"cut in the second line":    {whole[:len(lines[0])+20], []string{key}, "signature", "was cut short: it has 2 of the 4 lines"},
		"cut in the last line":      {whole[:len(whole)-20], []string{key}, "signature", "was cut short in line 4"},
		"shortened second line":     {lines[0] + lines[1][:40] + "\n" + lines[2] + lines[3], []string{key}, "signature", "was cut short in line 2"},
		"something after it":        {whole + "more\n", []string{key}, "signature", "has 5 lines"},
		"no trusted comment":        {lines[0] + lines[1] + "comment\n" + lines[3], []string{key}, "signature", "third line"},
		"unknown algorithm":         {strings.Replace(whole, "RURH", "WFhH", 1), []string{key}, "signature", "algorithm"},
		"name of the file":          {"shop.tar.gz.minisig", []string{key}, "signature", "is no minisign signature"},
		"empty":                     {"", []string{key}, "signature", "is no minisign signature"},
		"key that is none":          {whole, []string{"RWRH"}, "public_keys/0", "is no minisign public key"},
		"key that is empty":         {whole, []string{key, ""}, "public_keys/1", "is no minisign public key"},
		"name of the key":           {whole, []string{"shop.pub"}, "public_keys/0", "is no minisign public key"},
		"key given twice":           {whole, []string{key, bare}, "public_keys/1", "is given twice"},
		"secret key":                {whole, []string{"untrusted comment: minisign encrypted secret key\n" + strings.Repeat("A", 212)}, "public_keys/0", "may be the secret one"},
		"secret key without a name": {whole, []string{strings.Repeat("A", 212)}, "public_keys/0", "may be the secret one"},
	} {
		t.Run(name, func(t *testing.T) {
			s, found := artifact.ParseSignature(c.text, c.keys)
			if len(found) == 0 {
				if err, ok := s.Check(digestOf(vector(t, "artifact"))).(*artifact.SignatureError); ok { //nolint:errorlint // it is not wrapped
					found = append(found, err)
				}
			}
			switch {
			case c.want == "" && len(found) > 0:
				t.Errorf("a good signature is refused: %v", found[0])
			case c.want != "" && (len(found) != 1 || found[0].At != c.at || !strings.Contains(found[0].Reason, c.want)):
				t.Errorf("found %+v, want %q at %s", found, c.want, c.at)
			case c.want != "" && strings.Contains(found[0].Reason, "AAAA"):
				t.Errorf("the text shows the key: %s", found[0].Reason)
			}
		})
	}
}

func TestEverythingWrongWithASignatureIsReported(t *testing.T) {
	if _, found := artifact.ParseSignature("", []string{"", ""}); len(found) != 3 {
		t.Errorf("found %v, want three", found)
	}
}

func TestSignatureSaysWhatItSigns(t *testing.T) {
	s, found := artifact.ParseSignature(vector(t, "artifact.minisig"), []string{vector(t, "throwaway.pub")})
	if len(found) > 0 || s.Comment() != "shop 1.4.0" || s.KeyID() != "A8542D7749E48B47" {
		t.Errorf("it says %+v, %v", s, found)
	}
}

func FuzzParseSignature(f *testing.F) {
	for _, name := range []string{"artifact.minisig", "legacy.minisig", "other.minisig", "second.minisig"} {
		f.Add(vector(f, name), vector(f, "throwaway.pub"))
	}
	f.Add("", "")
	f.Add("untrusted comment: x\n\n\n\n", "RWRH")
	digest := digestOf(vector(f, "artifact"))
	good := vector(f, "throwaway.pub")
	f.Fuzz(func(t *testing.T, text, key string) {
		s, found := artifact.ParseSignature(text, []string{key})
		if (s == nil) != (len(found) > 0) {
			t.Fatalf("a signature and what is wrong with it: %v", found)
		}
		if s != nil {
			_ = s.Check(digest)
		}
		if s, found := artifact.ParseSignature(text, []string{good}); len(found) == 0 && s.Check(digest) == nil && s.Comment() != "shop 1.4.0" {
			t.Errorf("forged: %q", text)
		}
	})
}
