package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// Decode reads one JSON document into v, which must be a pointer, and refuses
// what [encoding/json] would pass over in silence: unknown and repeated
// members, and anything after the document. The error is a [Problem] that
// points at each offender.
func Decode(data []byte, v any) error {
	var found Violations
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := walk(dec, reflect.TypeOf(v), "", &found); err != nil {
		return &Problem{Type: ProblemInvalid, Title: "The body is not JSON", Detail: err.Error()}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return &Problem{Type: ProblemInvalid, Title: "The body is not JSON", Detail: "there is text after the document"}
	}
	if err := found.Problem(); err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return decodeProblem(err)
	}
	return nil
}

// Encode returns the one JSON text of v that this package works with: compact,
// members in the order of the Go type, map keys sorted. It panics on a value
// that has no JSON form, which none of this package's types can be.
func Encode(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("api: encode %T: %v", v, err))
	}
	return data
}

func decodeProblem(err error) error {
	var found Violations
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return &Problem{Type: ProblemInvalid, Title: "The body is not valid", Detail: err.Error()}
	}
	pointer := Pointer("")
	if wrong.Field != "" {
		for step := range strings.SplitSeq(wrong.Field, ".") {
			pointer = pointer.At(step)
		}
	}
	found.Add(pointer, "found a %s where a %s is expected", wrong.Value, wrong.Type)
	return found.Problem()
}

// walk reads one value of type t (nil: any) and notes members that t does not
// have and members that come twice.
func walk(dec *json.Decoder, t reflect.Type, at Pointer, found *Violations) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	t = shape(t)
	if delim == '[' {
		return walkArray(dec, t, at, found)
	}
	return walkObject(dec, t, at, found)
}

func walkArray(dec *json.Decoder, t reflect.Type, at Pointer, found *Violations) error {
	var element reflect.Type
	if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		element = t.Elem()
	}
	for i := 0; dec.More(); i++ {
		if err := walk(dec, element, at.At(i), found); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

func walkObject(dec *json.Decoder, t reflect.Type, at Pointer, found *Violations) error {
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string) // within an object a token before a value is its name
		if seen[name] {
			found.Add(at.At(name), "is given twice")
		}
		seen[name] = true
		member, known := memberType(t, name)
		if !known {
			found.Add(at.At(name), "is unknown here; this version of the agent knows: %s", strings.Join(memberNames(t), ", "))
		}
		if err := walk(dec, member, at.At(name), found); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

// shape strips pointers, and answers nil for types that decode themselves, in
// which there is nothing to look for.
func shape(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() == reflect.Interface || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return nil
	}
	return t
}

func memberType(t reflect.Type, name string) (reflect.Type, bool) {
	if t == nil {
		return nil, true
	}
	switch t.Kind() {
	case reflect.Map:
		return t.Elem(), true
	case reflect.Struct:
		for _, f := range reflect.VisibleFields(t) {
			if memberName(f) == name {
				return f.Type, true
			}
		}
		return nil, false
	default:
		return nil, true // a type error, which the real decoding reports
	}
}

func memberNames(t reflect.Type) []string {
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if name := memberName(f); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// memberName returns the JSON name of a field, "" if it has none of its own.
func memberName(f reflect.StructField) string {
	if !f.IsExported() || f.Anonymous {
		return ""
	}
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "-" {
		return ""
	}
	if name == "" {
		return f.Name
	}
	return name
}
