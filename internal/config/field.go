package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"
)

// field is one setting, or a struct of settings.
type field struct {
	key      string // from the top, with points; "" is the top
	name     string
	doc      string
	required bool
	value    reflect.Value
	fields   []*field // of a struct
}

var (
	keyName       = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	durationType  = reflect.TypeFor[time.Duration]()
	secretType    = reflect.TypeFor[Secret]()
	pathType      = reflect.TypeFor[Path]()
	unmarshalType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// describe checks that a struct can be read and documented.
func describe(into any) (*field, error) {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("config: %T is no pointer to a struct", into)
	}
	root := &field{value: v.Elem()}
	return root, root.describe()
}

func (f *field) describe() error {
	var errs []error
	for i := range f.value.NumField() {
		sf := f.value.Type().Field(i)
		if !sf.IsExported() {
			continue
		}
		name, option, _ := strings.Cut(sf.Tag.Get("config"), ",")
		if name == "-" {
			continue
		}
		child := &field{
			key: join(f.key, name), name: name, doc: sf.Tag.Get("doc"), required: option == "required", value: f.value.Field(i),
		}
		if !keyName.MatchString(name) || child.doc == "" || (option != "" && option != "required") {
			errs = append(errs, fmt.Errorf(`config: %s.%s needs the tags config:"name" and doc:"…"`, f.value.Type(), sf.Name))
			continue
		}
		if !supported(sf.Type) {
			errs = append(errs, fmt.Errorf("config: %s.%s: %s is not supported", f.value.Type(), sf.Name, sf.Type))
			continue
		}
		if sf.Type == secretType && !strings.HasSuffix(name, "_file") {
			errs = append(errs, fmt.Errorf("config: %s.%s: the name of a secret ends in _file", f.value.Type(), sf.Name))
		}
		if isStruct(sf.Type) {
			errs = append(errs, child.describe())
		}
		f.fields = append(f.fields, child)
	}
	return errors.Join(errs...)
}

func supported(t reflect.Type) bool {
	if scalar(t) {
		return true
	}
	switch t.Kind() { //nolint:exhaustive // the others are not supported
	case reflect.Struct:
		return true
	case reflect.Slice:
		return supported(t.Elem())
	case reflect.Map:
		return t.Key().Kind() == reflect.String && supported(t.Elem())
	}
	return false
}

// scalar says whether a value of that type is written as one text.
func scalar(t reflect.Type) bool {
	if t == secretType || reflect.PointerTo(t).Implements(unmarshalType) {
		return true
	}
	switch t.Kind() { //nolint:exhaustive // the others are no scalars
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return true
	}
	return false
}

func isStruct(t reflect.Type) bool { return t.Kind() == reflect.Struct && !scalar(t) }

// leaves collects what can be in the environment, by the name of the variable.
func (f *field) leaves(prefix string, into map[string]*field) error {
	for _, c := range f.fields {
		t := c.value.Type()
		switch {
		case isStruct(t):
			if err := c.leaves(prefix, into); err != nil {
				return err
			}
		case scalar(t), t.Kind() == reflect.Slice && scalar(t.Elem()):
			name := prefix + upper(c.key)
			if into[name] != nil {
				return fmt.Errorf("config: %s and %s are the same environment variable", c.key, into[name].key)
			}
			into[name] = c
		}
	}
	return nil
}

// missing says which required settings were not given.
func (f *field) missing(given map[string]bool) error {
	var errs []error
	for _, c := range f.fields {
		if c.required && !given[c.key] {
			errs = append(errs, fmt.Errorf("the setting %s is missing (%s)", c.key, c.doc))
		}
		errs = append(errs, c.missing(given))
	}
	return errors.Join(errs...)
}

func (f *field) names() string {
	names := make([]string, len(f.fields))
	for i, c := range f.fields {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}
