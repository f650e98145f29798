package pdf

import (
	"errors"
	"strconv"
)

// errShort says that the text goes on behind the window; the caller reads more.
var errShort = errors.New("object goes on")

// lexer splits PDF syntax into tokens (ISO 32000-2, 7.2). final says that buf
// ends where the data ends; otherwise every look past it is errShort.
type lexer struct {
	buf   []byte
	pos   int
	final bool
}

// keyword is a token that is no object: obj, endobj, stream, R, [, <<, …
type keyword string

// endOfData is the token after the last one.
const endOfData = keyword("")

func isSpace(c byte) bool {
	return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '\f' || c == 0
}

func isDelimiter(c byte) bool {
	switch c {
	case '(', ')', '<', '>', '[', ']', '{', '}', '/', '%':
		return true
	}
	return false
}

func isRegular(c byte) bool { return !isSpace(c) && !isDelimiter(c) }

// more reports whether there is a byte at pos; errShort if that is not known.
func (l *lexer) more() (bool, error) {
	if l.pos < len(l.buf) {
		return true, nil
	}
	if l.final {
		return false, nil
	}
	return false, errShort
}

func (l *lexer) skipSpace() error {
	for {
		ok, err := l.more()
		if !ok || err != nil {
			return err
		}
		c := l.buf[l.pos]
		switch {
		case isSpace(c):
			l.pos++
		case c == '%':
			if err := l.skipComment(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

func (l *lexer) skipComment() error {
	for {
		ok, err := l.more()
		if !ok || err != nil {
			return err
		}
		if c := l.buf[l.pos]; c == '\n' || c == '\r' {
			return nil
		}
		l.pos++
	}
}

// token returns the next Integer, Real, Name, String or keyword.
func (l *lexer) token() (any, error) {
	if err := l.skipSpace(); err != nil {
		return nil, err
	}
	ok, err := l.more()
	if err != nil {
		return nil, err
	}
	if !ok {
		return endOfData, nil
	}
	switch c := l.buf[l.pos]; c {
	case '/':
		l.pos++
		return l.name()
	case '(':
		l.pos++
		return l.literal()
	case '<':
		if ok, err := l.at(1, '<'); err != nil || ok {
			l.pos += 2
			return keyword("<<"), err
		}
		l.pos++
		return l.hex()
	case '>':
		if ok, err := l.at(1, '>'); err != nil || ok {
			l.pos += 2
			return keyword(">>"), err
		}
		return nil, damaged("a > stands alone")
	case '[', ']', '{', '}':
		l.pos++
		return keyword(c), nil
	case ')':
		return nil, damaged("a ) stands alone")
	}
	word, err := l.word()
	if err != nil {
		return nil, err
	}
	return number(word), nil
}

// at reports whether c stands n bytes ahead.
func (l *lexer) at(n int, c byte) (bool, error) {
	if l.pos+n < len(l.buf) {
		return l.buf[l.pos+n] == c, nil
	}
	if l.final {
		return false, nil
	}
	return false, errShort
}

func (l *lexer) word() ([]byte, error) {
	start := l.pos
	for {
		ok, err := l.more()
		if err != nil {
			return nil, err
		}
		if !ok || !isRegular(l.buf[l.pos]) {
			return l.buf[start:l.pos], nil
		}
		l.pos++
	}
}

// number turns a word into an Integer or a Real if it is one, else a keyword.
func number(word []byte) any {
	digits, dots := 0, 0
	for i, c := range word {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c == '.':
			dots++
		case (c == '+' || c == '-') && i == 0:
		default:
			return keyword(word)
		}
	}
	if digits == 0 || dots > 1 {
		return keyword(word)
	}
	if dots == 0 {
		if n, err := strconv.ParseInt(string(word), 10, 64); err == nil {
			return Integer(n)
		}
	}
	return Real(word)
}

func (l *lexer) name() (Name, error) {
	word, err := l.word()
	if err != nil {
		return "", err
	}
	out := make([]byte, 0, len(word))
	for i := 0; i < len(word); i++ {
		if word[i] == '#' && i+2 < len(word) {
			hi, lo := unhex(word[i+1]), unhex(word[i+2])
			if hi >= 0 && lo >= 0 {
				out = append(out, byte((hi<<4|lo)&0xff))
				i += 2
				continue
			}
		}
		out = append(out, word[i])
	}
	return Name(out), nil
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func (l *lexer) hex() (String, error) {
	var out []byte
	half := -1
	for {
		ok, err := l.more()
		if err != nil {
			return "", err
		}
		if !ok {
			return "", damaged("a hexadecimal string does not end")
		}
		c := l.buf[l.pos]
		l.pos++
		if c == '>' {
			if half >= 0 {
				out = append(out, byte(half<<4&0xff))
			}
			return String(out), nil
		}
		d := unhex(c)
		switch {
		case d < 0 && isSpace(c):
		case d < 0:
			return "", damaged("a hexadecimal string holds %q", c)
		case half < 0:
			half = d
		default:
			out = append(out, byte((half<<4|d)&0xff))
			half = -1
		}
	}
}

func (l *lexer) literal() (String, error) {
	var out []byte
	depth := 1
	for {
		ok, err := l.more()
		if err != nil {
			return "", err
		}
		if !ok {
			return "", damaged("a string does not end")
		}
		c := l.buf[l.pos]
		l.pos++
		switch c {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return String(out), nil
			}
		case '\r': // an end of line counts as one LF
			if lf, err := l.at(0, '\n'); err != nil {
				return "", err
			} else if lf {
				l.pos++
			}
			c = '\n'
		case '\\':
			if out, err = l.escape(out); err != nil {
				return "", err
			}
			continue
		}
		out = append(out, c)
	}
}

// escape reads what follows a reverse solidus in a string.
func (l *lexer) escape(out []byte) ([]byte, error) {
	ok, err := l.more()
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, damaged("a string does not end")
	}
	c := l.buf[l.pos]
	l.pos++
	switch c {
	case 'n':
		return append(out, '\n'), nil
	case 'r':
		return append(out, '\r'), nil
	case 't':
		return append(out, '\t'), nil
	case 'b':
		return append(out, '\b'), nil
	case 'f':
		return append(out, '\f'), nil
	case '\n':
		return out, nil
	case '\r':
		lf, err := l.at(0, '\n')
		if lf {
			l.pos++
		}
		return out, err
	}
	if c < '0' || c > '7' {
		return append(out, c), nil
	}
	v := int(c - '0')
	for range 2 {
		ok, err := l.more()
		if err != nil {
			return nil, err
		}
		if !ok || l.buf[l.pos] < '0' || l.buf[l.pos] > '7' {
			break
		}
		v = v<<3 | int(l.buf[l.pos]-'0')
		l.pos++
	}
	return append(out, byte(v)), nil
}
