package pdf

// hardDepth bounds every recursion that has no limit of its own.
const hardDepth = 256

// Limits are the budgets of one File. The zero value of a field means its
// default. They bound memory and time on hostile input; ordinary files stay far
// below them at any size.
type Limits struct {
	// Depth is how deep arrays and dictionaries may nest; 96.
	Depth int
	// Objects is the highest object number, and /Size; 8,388,607, the limit of
	// ISO 32000-1 Annex C.
	Objects int
	// Values is how many values one object may hold; 400,000.
	Values int
	// ObjectBytes is the length of one object's text; 16 MiB.
	ObjectBytes int
	// StreamBytes is the length of one stream, before and after each of its
	// filters; 32 MiB.
	StreamBytes int
	// Ratio is how many times its encoded length a stream's content of more
	// than 1 MiB may be; 1,100 (Flate alone ends at 1,032).
	Ratio int
	// Sections is the number of cross-reference sections; 4,096.
	Sections int
	// Nodes is the number of nodes visited in one tree of pages or fields; 200,000.
	Nodes int
	// Work is how many bytes may be parsed and decoded in all, and 24 more for
	// each value, by the file and its revisions together; 256 MiB. It stands for
	// time: about a second on an ordinary machine. Hashing does not count.
	Work int64
}

func (l Limits) withDefaults() Limits {
	set := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	set(&l.Depth, 96)
	set(&l.Objects, 8_388_607)
	set(&l.Values, 400_000)
	set(&l.ObjectBytes, 16<<20)
	set(&l.StreamBytes, 32<<20)
	set(&l.Ratio, 1100)
	set(&l.Sections, 4096)
	set(&l.Nodes, 200_000)
	if l.Work <= 0 {
		l.Work = 256 << 20
	}
	l.Depth = min(l.Depth, hardDepth)
	return l
}

// spend takes n bytes from the work budget.
func (f *File) spend(n int) error {
	*f.work -= int64(n)
	if *f.work < 0 {
		return overLimit("reading it takes more than %d bytes of parsing", f.limits.Work)
	}
	return nil
}
