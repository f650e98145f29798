package config

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// decoder puts values of one source into fields.
type decoder struct {
	source string
	dir    string          // relative paths begin here; "" is the working directory
	given  map[string]bool // keys that were set
	text   bool            // all values are text: the environment
}

// set puts raw into the value v of field f.
func (d decoder) set(f *field, v reflect.Value, raw any) error {
	t := v.Type()
	switch {
	case scalar(t):
		if err := d.scalar(v, raw); err != nil {
			return d.errorf(f, "%w", err)
		}
	case t.Kind() == reflect.Struct:
		return d.structure(f, raw)
	case t.Kind() == reflect.Slice:
		if err := d.list(f, v, raw); err != nil {
			return err
		}
	case t.Kind() == reflect.Map:
		if err := d.table(f, v, raw); err != nil {
			return err
		}
	}
	d.given[f.key] = true
	return nil
}

func (d decoder) structure(f *field, raw any) error {
	if raw == nil { // a heading with nothing below it
		return nil
	}
	m, ok := raw.(map[string]any)
	if !ok {
		return d.errorf(f, "want %s below it, not %s", f.names(), kindOf(raw))
	}
	d.given[f.key] = true
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(m)) {
		i := slices.IndexFunc(f.fields, func(c *field) bool { return c.name == name })
		if i < 0 {
			errs = append(errs, fmt.Errorf("%s: unknown key %q (known here: %s)", d.source, join(f.key, name), f.names()))
			continue
		}
		errs = append(errs, d.set(f.fields[i], f.fields[i].value, m[name]))
	}
	return errors.Join(errs...)
}

func (d decoder) list(f *field, v reflect.Value, raw any) error {
	items, ok := raw.([]any)
	if s, text := raw.(string); d.text && text {
		ok = true
		for part := range strings.SplitSeq(s, ",") {
			if part = strings.TrimSpace(part); part != "" {
				items = append(items, part)
			}
		}
	}
	if !ok {
		return d.errorf(f, "want a list, not %s", kindOf(raw))
	}
	list := reflect.MakeSlice(v.Type(), len(items), len(items))
	var errs []error
	for i, item := range items {
		errs = append(errs, d.element(fmt.Sprintf("%s[%d]", f.key, i), list.Index(i), item))
	}
	v.Set(list)
	return errors.Join(errs...)
}

func (d decoder) table(f *field, v reflect.Value, raw any) error {
	m, ok := raw.(map[string]any)
	if !ok {
		return d.errorf(f, "want names with values below it, not %s", kindOf(raw))
	}
	table := reflect.MakeMapWithSize(v.Type(), len(m))
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(m)) {
		e := reflect.New(v.Type().Elem()).Elem()
		errs = append(errs, d.element(join(f.key, name), e, m[name]))
		table.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), e)
	}
	v.Set(table)
	return errors.Join(errs...)
}

// element sets a member of a list or map, which has its own required members.
func (d decoder) element(key string, v reflect.Value, raw any) error {
	f := &field{key: key, value: v}
	if !isStruct(v.Type()) {
		return d.set(f, v, raw)
	}
	if err := f.describe(); err != nil {
		return err
	}
	d.given = map[string]bool{}
	if err := d.set(f, v, raw); err != nil {
		return err
	}
	if err := f.missing(d.given); err != nil {
		return fmt.Errorf("%s: %w", d.source, err)
	}
	return nil
}

// scalar converts one value. It never converts between kinds silently: a number
// where text is wanted is a mistake in the file.
func (d decoder) scalar(v reflect.Value, raw any) error {
	s, isText := raw.(string)
	switch {
	case v.Type() == secretType || v.Type() == pathType:
		if !isText || s == "" {
			return fmt.Errorf("want the path of a file, not %s", kindOf(raw))
		}
		return d.path(v, s)
	case reflect.PointerTo(v.Type()).Implements(unmarshalType):
		if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok && isText {
			return u.UnmarshalText([]byte(s))
		}
		return fmt.Errorf("want text, not %s", kindOf(raw))
	case v.Type() == durationType:
		wait, err := time.ParseDuration(s)
		if err != nil || wait < 0 {
			return fmt.Errorf("want a time span such as 90s, 15m or 24h, not %v", raw)
		}
		v.SetInt(int64(wait))
		return nil
	case v.Kind() == reflect.String:
		if !isText {
			return fmt.Errorf("want text, not %s: put it in quotes", kindOf(raw))
		}
		v.SetString(s)
		return nil
	case v.Kind() == reflect.Bool:
		b, ok := raw.(bool)
		if d.text && (s == "true" || s == "false") {
			b, ok = s == "true", true
		}
		if !ok {
			return fmt.Errorf("want true or false, not %v", raw)
		}
		v.SetBool(b)
		return nil
	}
	if isText != d.text {
		return fmt.Errorf("want a number, not %s", kindOf(raw))
	}
	return number(v, fmt.Sprint(raw))
}

func (d decoder) path(v reflect.Value, s string) error {
	p := within(d.dir, s)
	if v.Type() == pathType {
		v.SetString(p)
		return nil
	}
	secret, err := readSecret(p)
	if err != nil {
		return err
	}
	v.Set(reflect.ValueOf(secret))
	return nil
}

func number(v reflect.Value, s string) error {
	bits := v.Type().Bits()
	switch {
	case v.CanInt():
		n, err := strconv.ParseInt(s, 10, bits)
		if err != nil {
			return fmt.Errorf("want a whole number of at most %d bits, not %s", bits, s)
		}
		v.SetInt(n)
	case v.CanUint():
		n, err := strconv.ParseUint(s, 10, bits)
		if err != nil {
			return fmt.Errorf("want a whole number from 0 of at most %d bits, not %s", bits, s)
		}
		v.SetUint(n)
	default:
		n, err := strconv.ParseFloat(s, bits)
		if err != nil {
			return fmt.Errorf("want a number, not %s", s)
		}
		v.SetFloat(n)
	}
	return nil
}

func (d decoder) errorf(f *field, format string, args ...any) error {
	where := d.source
	if !d.text {
		where += ": " + f.key
	}
	return fmt.Errorf("%s: %w", where, fmt.Errorf(format, args...))
}

func kindOf(raw any) string {
	switch raw.(type) {
	case nil:
		return "nothing"
	case string:
		return "text"
	case bool:
		return "true or false"
	case []any:
		return "a list"
	case map[string]any, map[any]any:
		return "names with values"
	}
	return "a number"
}
