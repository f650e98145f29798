package pdf

import (
	"slices"
)

// Object is one of nil (null), bool, Integer, Real, Name, String, Array, *Dict,
// *Stream or Ref. In an Update it may also be *Reserved.
type Object any

// Integer is a PDF integer.
type Integer int64

// Real is a PDF real number in the spelling of the file.
type Real string

// Name is a PDF name without its solidus, with #xx decoded.
type Name string

// String is the bytes of a PDF string, decrypted and unescaped.
type String string

// Array is a PDF array.
type Array []Object

// Ref is an indirect reference.
type Ref struct {
	Num int
	Gen int
}

// Entry is one key of a dictionary with its value.
type Entry struct {
	Key   Name
	Value Object
}

// Dict is a PDF dictionary that keeps the order of its keys. Values from a File
// are shared with its cache: Clone before changing.
type Dict struct {
	entries  []Entry
	repeated bool
}

// NewDict makes a dictionary of the entries, in that order.
func NewDict(entries ...Entry) *Dict { return &Dict{entries: entries} }

// Get returns the value of key, or nil. An indirect reference is returned as
// such; see File.Resolve.
func (d *Dict) Get(key Name) Object {
	if d == nil {
		return nil
	}
	for i := range d.entries {
		if d.entries[i].Key == key {
			return d.entries[i].Value
		}
	}
	return nil
}

// Has reports whether key is present, even with a null value.
func (d *Dict) Has(key Name) bool {
	return d != nil && slices.ContainsFunc(d.entries, func(e Entry) bool { return e.Key == key })
}

// Set puts value under key, at the end if the key is new.
func (d *Dict) Set(key Name, value Object) {
	for i := range d.entries {
		if d.entries[i].Key == key {
			d.entries[i].Value = value
			return
		}
	}
	d.entries = append(d.entries, Entry{key, value})
}

// Delete removes key.
func (d *Dict) Delete(key Name) {
	d.entries = slices.DeleteFunc(d.entries, func(e Entry) bool { return e.Key == key })
}

// Entries returns the entries in their order. The slice must not be changed.
func (d *Dict) Entries() []Entry {
	if d == nil {
		return nil
	}
	return d.entries
}

// Len returns the number of entries.
func (d *Dict) Len() int { return len(d.Entries()) }

// Repeated reports whether the text of the dictionary had one key with several
// values. This package takes the last one; other readers take the first.
func (d *Dict) Repeated() bool { return d != nil && d.repeated }

// Clone returns a copy whose entries may be set; the values are shared.
func (d *Dict) Clone() *Dict {
	if d == nil {
		return &Dict{}
	}
	return &Dict{entries: slices.Clone(d.entries)}
}

// Stream is a PDF stream. One that was read holds only where its data lies; one
// that is to be written holds Data, which is written as it is.
type Stream struct {
	Dict *Dict
	// Data is the encoded data of a new stream; nil for one that was read.
	Data []byte

	ref      Ref   // number and generation, for decryption
	at       int64 // where the data begins
	clear    bool  // never encrypted: cross-reference streams
	fromFile bool
}

// Reserved is text that an Update writes byte for byte and never encrypts.
// After Update.Bytes, Offset says where in the whole file it begins.
type Reserved struct {
	Text   []byte
	Offset int64
}

// Equal reports whether two objects are the same value, comparing references by
// number and dictionaries regardless of order. The data of streams is not
// compared; Same does that.
func Equal(a, b Object) bool {
	return equal(a, b, 0)
}

func equal(a, b Object, depth int) bool {
	if depth > hardDepth {
		return false
	}
	switch a := a.(type) {
	case Array:
		b, ok := b.(Array)
		return ok && slices.EqualFunc(a, b, func(x, y Object) bool { return equal(x, y, depth+1) })
	case *Dict:
		b, ok := b.(*Dict)
		if !ok || a.Len() != b.Len() {
			return false
		}
		return sameEntries(a, b, depth)
	case *Stream:
		b, ok := b.(*Stream)
		return ok && equal(a.Dict, b.Dict, depth+1)
	case *Reserved:
		return a == b
	}
	switch b.(type) {
	case Array, *Dict, *Stream, *Reserved:
		return false
	}
	return a == b
}

// sameEntries compares dictionaries of the same length, without a search for each
// key: a hostile one has very many.
func sameEntries(a, b *Dict, depth int) bool {
	var index map[Name]Object
	for i, e := range a.entries {
		v, ok := b.entries[i].Value, b.entries[i].Key == e.Key
		if !ok {
			if index == nil {
				index = b.index()
			}
			v, ok = index[e.Key]
		}
		if !ok || !equal(e.Value, v, depth+1) {
			return false
		}
	}
	return true
}

func (d *Dict) index() map[Name]Object {
	m := make(map[Name]Object, d.Len())
	for _, e := range d.Entries() {
		m[e.Key] = e.Value
	}
	return m
}
