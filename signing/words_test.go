package signing_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/signing"
)

// theList reads the words from the source: nobody outside needs them.
func theList(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("wordlist.go")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(b), "`")
	if len(parts) != 3 {
		t.Fatalf("wordlist.go has %d parts", len(parts))
	}
	return strings.Fields(parts[1])
}

func TestWordsAreEasyToTellApart(t *testing.T) {
	list := theList(t)
	if len(list) != 1024 || !slices.IsSorted(list) {
		t.Fatalf("%d words, sorted %v", len(list), slices.IsSorted(list))
	}
	form := regexp.MustCompile(`^[a-z]{3,8}$`)
	sounds := map[string]string{}
	for i, a := range list {
		if !form.MatchString(a) {
			t.Errorf("%q has not 3 to 8 letters", a)
		}
		for _, b := range list[:i] {
			if strings.HasPrefix(a, b) || close(a, b) {
				t.Errorf("%q and %q are too much alike", a, b)
			}
		}
		s := sound(a)
		if b := sounds[s]; b != "" {
			t.Errorf("%q and %q sound too much alike", a, b)
		}
		sounds[s] = a
	}
}

// The rules must see what they are there for.
func TestTheRulesSeeWordsThatAreAlike(t *testing.T) {
	for _, p := range [][2]string{{"cable", "table"}, {"ridge", "bridge"}, {"quiet", "quite"}, {"north", "north"}, {"scone", "scones"}} {
		if !close(p[0], p[1]) || !close(p[1], p[0]) {
			t.Errorf("%v look different", p)
		}
	}
	for _, p := range [][2]string{{"steel", "steal"}, {"beach", "beech"}, {"knight", "nite"}, {"right", "write"}, {"cymbal", "symbol"}, {"whether", "weather"}, {"quay", "kway"}, {"draft", "draughft"}} {
		if sound(p[0]) != sound(p[1]) {
			t.Errorf("%v sound different: %q, %q", p, sound(p[0]), sound(p[1]))
		}
	}
	for _, p := range [][2]string{{"harbour", "violet"}, {"north", "south"}, {"tulip", "tiger"}} {
		if close(p[0], p[1]) || sound(p[0]) == sound(p[1]) {
			t.Errorf("%v are alike", p)
		}
	}
}

// close reports whether one slip of a finger or an eye makes one word the other:
// a letter changed, added, left out, or two exchanged.
func close(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	switch len(b) - len(a) {
	case 0:
		return i == len(a) || a[i+1:] == b[i+1:] ||
			i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
	case 1:
		return a[i:] == b[i+1:]
	}
	return false
}

// spellings are written in turn as they sound.
var spellings = [][2]string{
	{"ough", "o"},
	{"augh", "a"},
	{"eigh", "a"},
	{"igh", "i"},
	{"ph", "f"},
	{"wh", "w"},
	{"kn", "n"},
	{"wr", "r"},
	{"gh", "g"},
	{"sch", "sk"},
	{"ck", "k"},
	{"qu", "kw"},
	{"x", "ks"},
	{"ce", "se"},
	{"ci", "si"},
	{"cy", "si"},
	{"dge", "j"},
	{"ge", "j"},
	{"tch", "ch"},
	{"mb", "m"},
	{"z", "s"},
	{"y", "i"},
	{"ch", "C"},
	{"c", "k"},
}

var (
	vowels = regexp.MustCompile(`[aeiou]+`)
	ending = regexp.MustCompile(`a$`)
)

// sound is the consonants as they are heard, with a mark wherever there are vowels:
// coarser than the ear, so that all that sound alike have the same.
func sound(word string) string {
	for _, s := range spellings {
		word = strings.ReplaceAll(word, s[0], s[1])
	}
	word = string(slices.Compact([]byte(word)))
	return ending.ReplaceAllString(vowels.ReplaceAllString(word, "a"), "")
}

// The words are on other people's screens, too: they stay.
func TestWordsOfADigestAreThese(t *testing.T) {
	hello := sha256.Sum256([]byte("hello"))
	long := make([]byte, 64)
	for i := range long {
		long[i] = byte(i)
	}
	for _, c := range []struct {
		name   string
		digest []byte
		want   [6]string
	}{
		{"nothing", nil, [6]string{"inspire", "pinecone", "tiger", "chowder", "wallet", "process"}},
		{"SHA-256 of hello", hello[:], [6]string{"rope", "toolbox", "cucumber", "workshop", "guest", "canary"}},
		{"64 bytes", long, [6]string{"protect", "sycamore", "tailor", "yacht", "loyalty", "hazel"}},
	} {
		if d := cmp.Diff(c.want, signing.Words(c.digest)); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}

// The definition, written another way: a string of bits.
func TestWordsAreTenBitsEach(t *testing.T) {
	list := theList(t)
	var b strings.Builder
	for n := range uint32(500) {
		digest := binary.BigEndian.AppendUint32(nil, n)
		sum := sha256.Sum256(append([]byte("countersign-words-v1\x00"), digest...))
		b.Reset()
		for _, x := range sum[:8] {
			fmt.Fprintf(&b, "%08b", x)
		}
		var want [6]string
		for i := range want {
			at, err := strconv.ParseUint(b.String()[10*i:10*i+10], 2, 16)
			if err != nil {
				t.Fatal(err)
			}
			want[i] = list[at]
		}
		if got := signing.Words(digest); got != want {
			t.Fatalf("%x: got %v, want %v", digest, got, want)
		}
	}
}

func TestOtherDigestsHaveOtherWords(t *testing.T) {
	seen := map[[6]string]bool{}
	used := map[string]bool{}
	for n := range uint32(20_000) {
		w := signing.Words(binary.BigEndian.AppendUint32(nil, n))
		if seen[w] {
			t.Fatalf("%d has the words of another: %v", n, w)
		}
		seen[w] = true
		for _, word := range w {
			used[word] = true
		}
	}
	if len(used) != 1024 {
		t.Errorf("only %d words are ever used", len(used))
	}
	// One bit changes them all, as a rule: here at least four of six.
	digest := make([]byte, 32)
	zero := signing.Words(digest)
	for bit := range 256 {
		other := slices.Clone(digest)
		other[bit/8] ^= 1 << (bit % 8)
		same := 0
		for i, word := range signing.Words(other) {
			if word == zero[i] {
				same++
			}
		}
		if same > 2 {
			t.Errorf("bit %d changed only %d words", bit, 6-same)
		}
	}
}
