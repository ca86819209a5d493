package api

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// sample has one field of each sort that the contract uses.
type sample struct {
	Text   string            `json:"text"`
	Count  int               `json:"count"`
	Small  int8              `json:"small"`
	Flag   bool              `json:"flag"`
	List   []string          `json:"list"`
	Map    map[string]inside `json:"map"`
	Maybe  *inside           `json:"maybe,omitempty"`
	Wait   Duration          `json:"wait"`
	At     time.Time         `json:"at,omitzero"`
	Raw    json.RawMessage   `json:"raw,omitempty"`
	Nonce  []byte            `json:"nonce"`
	Hidden Secret            `json:"hidden"`
	Never  string            `json:"-"`
	embedded
}

type embedded struct {
	Promoted int `json:"promoted"`
}

type inside struct {
	Port int `json:"port"`
}

func TestDecodeAccepts(t *testing.T) {
	tests := map[string]string{
		"nothing":                   `{}`,
		"space around":              " {} \n",
		"every sort":                `{"text":"a","count":-1,"small":127,"flag":true,"list":["x"],"map":{"a":{"port":1}},"maybe":{"port":2},"wait":"2s","at":"2026-05-01T00:00:00Z","raw":{"any":[1]},"nonce":"AAE=","hidden":"s","promoted":3}`,
		"null where nothing can be": `{"list":null,"map":null,"maybe":null,"nonce":null}`,
		"anything in a raw value":   `{"raw":{"a":1,"a":2,"b":null}}`,
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			if err := Decode([]byte(text), new(sample)); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		})
	}
}

func TestDecodePointsAtWhatIsWrong(t *testing.T) {
	tests := map[string]struct {
		text    string
		pointer Pointer
		detail  string // part of it
	}{
		"unknown member":           {`{"colour":1}`, "/colour", "is unknown here; this version knows: text, count,"},
		"unknown member, deep":     {`{"map":{"a/b":{"prt":1}}}`, "/map/a~1b/prt", "knows: port"},
		"another case":             {`{"Text":"a"}`, "/Text", "is unknown"},
		"a field that is not sent": {`{"Never":"a"}`, "/Never", "is unknown"},
		"repeated member":          {`{"count":1,"count":2}`, "/count", "is given twice"},
		"repeated key":             {`{"map":{"a":{},"a":{}}}`, "/map/a", "is given twice"},
		"null text":                {`{"text":null}`, "/text", "found null where a string is expected"},
		"null number":              {`{"count":null}`, "/count", "found null where a whole number is expected"},
		"null in a map":            {`{"map":{"a":null}}`, "/map/a", "found null where an object is expected"},
		"null in a list":           {`{"list":["a",null]}`, "/list/1", "found null where a string is expected"},
		"null document":            {`null`, "", "found null where an object is expected"},
		"number for text":          {`{"text":1}`, "/text", "found a number where a string is expected"},
		"text for number":          {`{"map":{"a":{"port":"80"}}}`, "/map/a/port", "found a string where a whole number is expected"},
		"fraction":                 {`{"maybe":{"port":1.5}}`, "/maybe/port", "found 1.5 where a whole number of 64 bits is expected"},
		"too big":                  {`{"small":128}`, "/small", "found 128 where a whole number of 8 bits is expected"},
		"text for truth":           {`{"flag":"yes"}`, "/flag", "found a string where true or false is expected"},
		"list for object":          {`{"map":[]}`, "/map", "found an array where an object is expected"},
		"object for list":          {`{"list":{}}`, "/list", "found an object where an array is expected"},
		"array document":           {`[]`, "", "found an array where an object is expected"},
		"no duration":              {`{"wait":"2x"}`, "/wait", `"2x" is not a duration`},
		"number for duration":      {`{"wait":2}`, "/wait", `a duration is a string such as "2s", not 2`},
		"no time":                  {`{"at":"now"}`, "/at", "parsing time"},
		"no base64":                {`{"nonce":"%"}`, "/nonce", "base64"},
		"number for base64":        {`{"nonce":1}`, "/nonce", "where a string in base64 is expected"},
		"secret of another sort":   {`{"hidden":4711}`, "/hidden", "found a number where a string is expected"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			problem := AsProblem(Decode([]byte(test.text), new(sample)))
			if problem == nil || problem.Type != ProblemInvalid || len(problem.Violations) != 1 {
				t.Fatalf("%s: problem %+v, want one violation", test.text, problem)
			}
			got := problem.Violations[0]
			if got.Pointer != test.pointer || !strings.Contains(got.Detail, test.detail) {
				t.Errorf("%s: %s: %s\nwant %s: …%s…", test.text, got.Pointer, got.Detail, test.pointer, test.detail)
			}
		})
	}
}

func TestDecodeTellsAllThatIsWrong(t *testing.T) {
	problem := AsProblem(Decode([]byte(`{"a":1,"count":"x","map":{"k":{"port":true}}}`), new(sample)))
	if len(problem.Violations) != 3 {
		t.Errorf("%d violations, want 3: %v", len(problem.Violations), problem)
	}
}

func TestDecodeRefusesWhatIsNotOneDocument(t *testing.T) {
	for _, text := range []string{``, ` `, `{`, `{"text":}`, `{}{}`, `{} x`, `{"text":"a"`, `{'text':1}`, strings.Repeat("[", 20000)} {
		problem := AsProblem(Decode([]byte(text), new(sample)))
		if problem == nil || problem.Title != "The body is not JSON" || problem.Detail == "" {
			t.Errorf("%.20q: problem %v, want \"not JSON\"", text, problem)
		}
	}
}

func TestDecodeNeverShowsASecret(t *testing.T) {
	for _, text := range []string{
		`{"hidden":["hunter2"]}`, `{"hidden":{"hunter2":1}}`, `{"hidden":"hunter2","hidden":"hunter2"}`,
		`{"hidden":"hunter2"`, `{"hidden":"hunter2"}x`, `{"list":"hunter2"}`, `{"count":"hunter2"}`,
	} {
		if err := Decode([]byte(text), new(sample)); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestEncodeIsItsOwnNormalForm(t *testing.T) {
	// The id of an operation is computed over these bytes on either side.
	w := Write{Spec: Encode(map[string]string{"log": "<%ci> & \u2028"})}
	var back Write
	if err := json.Unmarshal(Encode(w), &back); err != nil {
		t.Fatal(err)
	}
	if string(back.Spec) != string(w.Spec) {
		t.Errorf("the spec %s arrived as %s", w.Spec, back.Spec)
	}
}

func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		`{"text":"a","count":1,"map":{"a":{"port":1}},"wait":"2s","raw":[1]}`,
		`{"count":1,"count":2}`, `{"map":{"a":null}}`, `[`, `null`, `{"list":[["a"]]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var strict, lenient sample
		if err := Decode(data, &strict); err != nil {
			if !IsProblem(err, ProblemInvalid) {
				t.Errorf("error %v is no invalid problem", err)
			}
			return
		}
		if err := json.Unmarshal(data, &lenient); err != nil {
			t.Errorf("accepted %q, which encoding/json refuses: %v", data, err)
		}
		if string(Encode(strict)) != string(Encode(lenient)) {
			t.Errorf("%q decodes in two ways", data)
		}
	})
}
