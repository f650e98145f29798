package audit

import "bytes"

// appendString appends s as a JSON string.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if !plain(s[i]) {
			quoted, err := marshal(s)
			if err != nil {
				panic(err) // strings have no errors
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// plain says of a character that it stands for itself in a JSON string, whoever
// writes it.
func plain(c byte) bool { return c >= ' ' && c <= '~' && c != '"' && c != '\\' }

// ordered says of JSON without white space whether it is an object or an array
// whose members stand in alphabetical order at every depth, none of them twice.
// It says no as soon as there is a string that is not plain ASCII: such have several
// spellings.
func ordered(b []byte) bool {
	if len(b) == 0 || b[0] != '{' && b[0] != '[' {
		return false
	}
	type level struct {
		object bool
		last   []byte // the name before; nil before the first
	}
	var (
		levels []level
		name   bool // a string that comes now is a member's name
	)
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '{', '[':
			name = b[i] == '{'
			levels = append(levels, level{object: name})
		case '}', ']':
			if len(levels) == 0 {
				return false
			}
			levels, name = levels[:len(levels)-1], false
		case ',':
			name = len(levels) > 0 && levels[len(levels)-1].object
		case '"':
			end := stringEnd(b, i)
			if end < 0 {
				return false
			}
			if name {
				top := &levels[len(levels)-1]
				if top.last != nil && bytes.Compare(top.last, b[i:end]) >= 0 {
					return false
				}
				top.last, name = b[i:end], false
			}
			i = end
		}
	}
	return true
}

// stringEnd returns the place of the quote that ends the plain string which begins
// at from, -1 if it is not plain.
func stringEnd(b []byte, from int) int {
	for i := from + 1; i < len(b); i++ {
		switch {
		case b[i] == '"':
			return i
		case !plain(b[i]):
			return -1
		}
	}
	return -1
}
