// Package fonts holds the font that visible signatures are set in by default, on
// servers and at the command line: Go Regular by Bigelow & Holmes, which covers
// Latin, Greek and Cyrillic. Where it is not to be in the program, as in the
// browser, it is loaded as a file of its own and given to ades/pades as bytes.
package fonts

import "golang.org/x/image/font/gofont/goregular"

// Regular is the default font, a TrueType file. It must not be changed.
func Regular() []byte { return goregular.TTF }
