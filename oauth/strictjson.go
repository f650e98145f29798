package oauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// maxDepth is how deep JSON from outside may be nested.
const maxDepth = 16

// object is a JSON object whose members are looked up by their exact name.
// encoding/json would take "CREDENTIALID" for credentialID, and the last of two
// members of one name: two readers could then read one text differently.
type object map[string]json.RawMessage

// parseObject reads one JSON object without duplicate members.
func parseObject(b []byte) (object, error) {
	if err := unambiguous(b); err != nil {
		return nil, err
	}
	var o object
	if err := json.Unmarshal(b, &o); err != nil {
		return nil, errors.New("it is not a JSON object")
	}
	if o == nil {
		return nil, errors.New("it is null")
	}
	return o, nil
}

// unambiguous says whether b is one JSON value that everybody reads alike: UTF-8,
// no member twice, nothing after it, not nested too deeply.
func unambiguous(b []byte) error {
	if !utf8.Valid(b) {
		return errors.New("it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := value(d, 0); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON value")
	}
	return nil
}

func value(d *json.Decoder, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("it is nested deeper than %d", maxDepth)
	}
	t, err := d.Token()
	if err != nil {
		return errors.New("it is not JSON")
	}
	open, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if open == '{' {
			t, err := d.Token()
			name, ok := t.(string)
			if err != nil || !ok {
				return errors.New("it is not JSON")
			}
			if seen[name] {
				return fmt.Errorf("member %.40q occurs twice", name)
			}
			seen[name] = true
		}
		if err := value(d, depth+1); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return errors.New("it is not JSON")
	}
	return nil
}

// has reports whether the member is there and not null, which CSC clients send
// for absent.
func (o object) has(name string) bool {
	v, ok := o[name]
	return ok && !bytes.Equal(v, []byte("null"))
}

// text returns a string member, "" if it is absent or null.
func (o object) text(name string) (string, error) {
	if !o.has(name) {
		return "", nil
	}
	var s string
	if json.Unmarshal(o[name], &s) != nil {
		return "", fmt.Errorf("%s is not a string", name)
	}
	return s, nil
}

// integer returns a member that is a whole number, or a string with one as some
// clients send it; ok is false if it is absent or null.
func (o object) integer(name string) (n int64, ok bool, err error) {
	if !o.has(name) {
		return 0, false, nil
	}
	raw := o[name]
	var s string
	if json.Unmarshal(raw, &s) == nil {
		raw = json.RawMessage(s)
	}
	if len(raw) > 20 || json.Unmarshal(raw, &n) != nil {
		return 0, false, fmt.Errorf("%s is not an integer", name)
	}
	return n, true, nil
}

// seconds returns a NumericDate member (RFC 7519 §2) in whole seconds.
func (o object) seconds(name string) (n int64, ok bool, err error) {
	if !o.has(name) {
		return 0, false, nil
	}
	var f float64
	if json.Unmarshal(o[name], &f) != nil || f < 0 || f > 1<<40 {
		return 0, false, fmt.Errorf("%s is not a date", name)
	}
	return int64(f), true, nil
}

// sameJSON reports whether two unambiguous texts have the same value, however
// they are spelled.
func sameJSON(a, b string) bool {
	ca, errA := canonical(a)
	cb, errB := canonical(b)
	return errA == nil && errB == nil && bytes.Equal(ca, cb)
}

func canonical(s string) ([]byte, error) {
	if err := unambiguous([]byte(s)); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader([]byte(s)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}
