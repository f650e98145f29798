package config

import (
	"encoding"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
)

// Reference writes the settings of a role's struct, with its present values as
// defaults, as a commented YAML file that Load would read: required settings have
// to be filled in, all others are commented out.
func Reference(w io.Writer, role string, of any) error {
	root, err := describe(of)
	if err != nil {
		return err
	}
	var b strings.Builder
	reference(&b, Prefix(role), root, 0)
	_, err = io.WriteString(w, b.String())
	return err
}

func reference(b *strings.Builder, prefix string, f *field, depth int) {
	indent := strings.Repeat("  ", depth)
	for i, c := range f.fields {
		if i > 0 || depth == 0 && b.Len() > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(b, "%s# %s\n", indent, c.doc)
		t := c.value.Type()
		if isStruct(t) {
			fmt.Fprintf(b, "%s%s:\n", indent, c.name)
			reference(b, prefix, c, depth+1)
			continue
		}
		fmt.Fprintf(b, "%s# (%s)\n", indent, strings.Join(remarks(c, prefix), "; "))
		mark := "# "
		if c.required {
			mark = ""
		}
		fmt.Fprintf(b, "%s%s%s: %s\n", indent, mark, c.name, literal(c.value))
		if e := elem(t); e != nil && isStruct(e) {
			members := &field{value: reflect.New(e).Elem()}
			if members.describe() == nil {
				listMembers(b, members, indent)
			}
		}
	}
}

// listMembers names the members of a list's or map's structs, in comments.
func listMembers(b *strings.Builder, f *field, indent string) {
	for _, c := range f.fields {
		fmt.Fprintf(b, "%s#   %s: %s (%s)\n", indent, c.name, c.doc, strings.Join(remarks(c, ""), "; "))
	}
}

// remarks end with the variable, where there is a prefix and the setting can be one.
func remarks(c *field, prefix string) []string {
	t := c.value.Type()
	list := []string{typeName(t)}
	if c.required {
		list = append(list, "required")
	}
	if prefix != "" && (scalar(t) || t.Kind() == reflect.Slice && scalar(t.Elem())) {
		list = append(list, prefix+upper(c.key))
	}
	return list
}

func elem(t reflect.Type) reflect.Type {
	if !scalar(t) && (t.Kind() == reflect.Slice || t.Kind() == reflect.Map) {
		return t.Elem()
	}
	return nil
}

func typeName(t reflect.Type) string {
	switch {
	case t == secretType:
		return "path of a file with a secret"
	case t == pathType:
		return "path"
	case t == durationType:
		return "time span"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.String, scalar(t) && reflect.PointerTo(t).Implements(unmarshalType):
		return "text"
	case scalar(t):
		return "number"
	case isStruct(t):
		return "settings"
	case t.Kind() == reflect.Slice:
		return "list of " + typeName(t.Elem())
	}
	return "names with " + typeName(t.Elem())
}

// literal is a value in YAML.
func literal(v reflect.Value) string {
	t := v.Type()
	switch {
	case t == secretType:
		return `""`
	case t == durationType:
		return time.Duration(v.Int()).String()
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String && v.Len() > 0:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = literal(v.Index(i))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case t.Kind() == reflect.Slice && !scalar(t):
		return "[]"
	case t.Kind() == reflect.Map:
		return "{}"
	case t.Kind() == reflect.String:
		return fmt.Sprintf("%q", v.String())
	}
	if m, ok := reflect.TypeAssert[encoding.TextMarshaler](v); ok {
		text, err := m.MarshalText()
		if err != nil {
			text = nil
		}
		return fmt.Sprintf("%q", text)
	}
	return fmt.Sprint(v.Interface())
}
