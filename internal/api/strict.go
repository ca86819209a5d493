package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Decode reads one JSON document into v, which must be a pointer, and refuses
// what [encoding/json] would pass over in silence: unknown and repeated
// members, names in another case, null for what cannot be absent, and anything
// after the document. The error is a [Problem] that points at each offender.
// It quotes no string, which may be a secret; only a type that decodes itself,
// such as [Duration], may do so. What is in such a value is its own affair.
func Decode(data []byte, v any) error {
	var document json.RawMessage
	if err := json.Unmarshal(data, &document); err != nil {
		return &Problem{Type: ProblemInvalid, Title: "The body is not JSON", Detail: err.Error()}
	}
	var found Violations
	inspect(document, reflect.TypeOf(v).Elem(), "", &found)
	if err := found.Problem(); err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return &Problem{Type: ProblemInvalid, Title: "The body is not valid", Detail: err.Error()}
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

// inspect notes what of a valid JSON text does not fit type t.
func inspect(text json.RawMessage, t reflect.Type, at Pointer, found *Violations) {
	if t.Kind() == reflect.Pointer {
		if jsonKind(text) != "null" {
			inspect(text, t.Elem(), at, found)
		}
		return
	}
	container := !reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())
	switch kind := jsonKind(text); {
	case container && t.Kind() == reflect.Struct && kind == "an object":
		inspectStruct(text, t, at, found)
	case container && t.Kind() == reflect.Map && kind == "an object":
		for _, m := range members(text, at, found) {
			inspect(m.value, t.Elem(), at.At(m.name), found)
		}
	case container && t.Kind() == reflect.Slice && kind == "an array":
		for i, element := range elements(text) {
			inspect(element, t.Elem(), at.At(i), found)
		}
	default:
		inspectValue(text, t, at, found)
	}
}

func inspectStruct(text json.RawMessage, t reflect.Type, at Pointer, found *Violations) {
	for _, m := range members(text, at, found) {
		field, known := fieldNamed(t, m.name)
		if !known {
			found.Add(at.At(m.name), "is unknown here; this version knows: %s", strings.Join(fieldNames(t), ", "))
			continue
		}
		inspect(m.value, field, at.At(m.name), found)
	}
}

// inspectValue tries the real decoding on one value.
func inspectValue(text json.RawMessage, t reflect.Type, at Pointer, found *Violations) {
	err := json.Unmarshal(text, reflect.New(t).Interface())
	_, mismatch := errors.AsType[*json.UnmarshalTypeError](err)
	switch kind := jsonKind(text); {
	case mismatch && kind == "a number" && wanted(t) == "a whole number":
		found.Add(at, "found %s where a whole number of %d bits is expected", text, t.Bits())
	case mismatch, kind == "null" && !nullable(t):
		found.Add(at, "found %s where %s is expected", kind, wanted(t))
	case err != nil:
		found.Add(at, "%v", err)
	}
}

// jsonKind says what sort of value a JSON text is.
func jsonKind(text json.RawMessage) string {
	switch text[0] { // a RawMessage of the decoder has no space around it
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}

// wanted says what sort of value decodes into t.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "a string in base64"
		}
		return "an array"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	default:
		return "a whole number"
	}
}

// nullable reports whether null may stand for a t. An empty list or map may be
// written as null, and what decodes itself has an opinion of its own.
func nullable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Slice, reflect.Map, reflect.Interface:
		return true
	default:
		return reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())
	}
}

// member is one member of a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

// members returns the members of an object in their order, and notes those
// that come twice.
func members(object json.RawMessage, at Pointer, found *Violations) []member {
	var list []member
	seen := map[string]bool{}
	dec := json.NewDecoder(bytes.NewReader(object))
	for _, _ = dec.Token(); dec.More(); {
		token, _ := dec.Token() // the text is valid, and within an object a token before a value is its name
		name, _ := token.(string)
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			break
		}
		if seen[name] {
			found.Add(at.At(name), "is given twice")
		}
		seen[name] = true
		list = append(list, member{name, value})
	}
	return list
}

// elements returns the elements of a valid JSON array.
func elements(array json.RawMessage) []json.RawMessage {
	var list []json.RawMessage
	_ = json.Unmarshal(array, &list)
	return list
}

// fieldNamed returns the type of the field that a member of that name decodes
// into.
func fieldNamed(t reflect.Type, name string) (reflect.Type, bool) {
	for _, f := range reflect.VisibleFields(t) {
		if memberName(f) == name {
			return f.Type, true
		}
	}
	return nil, false
}

func fieldNames(t reflect.Type) []string {
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
