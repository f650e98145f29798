//go:build js

package host

import "syscall/js"

// Value turns a Go value into a JavaScript one; byte slices become Uint8Arrays,
// also inside of maps and slices.
func Value(v any) js.Value {
	switch v := v.(type) {
	case []byte:
		if v == nil {
			return js.Null()
		}
		a := js.Global().Get("Uint8Array").New(len(v))
		js.CopyBytesToJS(a, v)
		return a
	case [][]byte:
		list := js.Global().Get("Array").New()
		for _, e := range v {
			list.Call("push", Value(e))
		}
		return list
	case []any:
		list := js.Global().Get("Array").New()
		for _, e := range v {
			list.Call("push", Value(e))
		}
		return list
	case []string:
		list := js.Global().Get("Array").New()
		for _, e := range v {
			list.Call("push", e)
		}
		return list
	case map[string]any:
		object := js.Global().Get("Object").New()
		for name, e := range v {
			object.Set(name, Value(e))
		}
		return object
	}
	return js.ValueOf(v)
}

// Bytes copies a Uint8Array; null and undefined give nil.
func Bytes(v js.Value) []byte {
	if v.IsNull() || v.IsUndefined() {
		return nil
	}
	b := make([]byte, v.Length())
	js.CopyBytesToGo(b, v)
	return b
}

// ByteSlices copies an array of Uint8Arrays; null and undefined give nil.
func ByteSlices(v js.Value) [][]byte {
	var list [][]byte
	for i := range length(v) {
		list = append(list, Bytes(v.Index(i)))
	}
	return list
}

// Strings copies an array of texts; null and undefined give nil.
func Strings(v js.Value) []string {
	var list []string
	for i := range length(v) {
		list = append(list, v.Index(i).String())
	}
	return list
}

func length(v js.Value) int {
	if v.IsNull() || v.IsUndefined() {
		return 0
	}
	return v.Length()
}

// Text is a text member of an object, "" if it is not there.
func Text(object js.Value, name string) string {
	if v := object.Get(name); v.Type() == js.TypeString {
		return v.String()
	}
	return ""
}

// Number is a number member of an object, 0 if it is not there. Numbers of scripts
// are exact up to 2^53.
func Number(object js.Value, name string) float64 {
	if v := object.Get(name); v.Type() == js.TypeNumber {
		return v.Float()
	}
	return 0
}
