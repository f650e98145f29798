package pades_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/countersign/countersign/ades/fonts"
	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/pdf/pdftest"
	"github.com/countersign/countersign/ades/picture"
)

// profiles is what poppler says of colour profiles that are cut short for a test.
var profiles = regexp.MustCompile(`(?m)^Syntax Warning: (Read from memory error|read ICCBased color space).*\n`)

// poppler returns a command that runs a tool of poppler.
func poppler(t *testing.T, name string) func(args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("SKIPPED: %s is not installed", name)
	}
	return func(args ...string) []byte {
		t.Helper()
		var problems bytes.Buffer
		c := exec.CommandContext(t.Context(), path, args...)
		c.Stderr = &problems
		out, err := c.Output()
		said := profiles.ReplaceAll(problems.Bytes(), nil)
		if err != nil || len(said) > 0 {
			t.Fatalf("%s: %v\n%s", name, err, said)
		}
		return out
	}
}

// shot is a page as poppler shows it, in grey, a pixel a point.
type shot struct {
	width, height int
	grey          []byte
}

func render(t *testing.T, doc []byte) shot {
	t.Helper()
	path := filepath.Join(t.TempDir(), "page.pdf")
	write(t, path, doc)
	out := poppler(t, "pdftoppm")("-cropbox", "-r", "72", "-gray", "-aa", "no", "-aaVector", "no", path)
	var s shot
	if _, err := fmt.Sscanf(string(out), "P5\n%d %d\n255\n", &s.width, &s.height); err != nil {
		t.Fatalf("%q: %v", out[:20], err)
	}
	s.grey = out[len(out)-s.width*s.height:]
	return s
}

// darker is the smallest rectangle that holds all pixels darker than that: left,
// top, right, bottom.
func (s shot) darker(than byte) [4]int {
	r := [4]int{s.width, s.height, 0, 0}
	for i, v := range s.grey {
		if x, y := i%s.width, i/s.width; v < than {
			r = [4]int{min(r[0], x), min(r[1], y), max(r[2], x+1), max(r[3], y+1)}
		}
	}
	return r
}

func near(a, b [4]int) bool {
	for i := range a {
		if d := a[i] - b[i]; d < -1 || d > 1 {
			return false
		}
	}
	return true
}

// quarters is a grey picture whose upper left quarter is black.
func quarters(width, height int) []byte {
	img := image.NewGray(image.Rect(0, 0, width, height))
	for i := range img.Pix {
		img.Pix[i] = 0x80
	}
	for y := range height / 2 {
		for x := range width / 2 {
			img.SetGray(x, y, color.Gray{})
		}
	}
	return encoded(img)
}

// read is the picture in a file.
func read(t *testing.T, data []byte) *pades.Picture {
	t.Helper()
	p, err := picture.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func encoded(img image.Image) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// assertShown checks that the picture of quarters fills that place, upright: in
// points from the upper left. The look leaves 3 points free around it.
func assertShown(t *testing.T, doc []byte, x, y, w, h int) {
	t.Helper()
	s := render(t, doc)
	x, y, w, h = x+3, y+3, w-6, h-6
	if got, want := s.darker(0xc0), [4]int{x, y, x + w, y + h}; !near(got, want) {
		t.Errorf("the picture is seen at %v, want %v", got, want)
	}
	if got, want := s.darker(0x40), [4]int{x, y, x + w/2, y + h/2}; !near(got, want) {
		t.Errorf("its upper left quarter is seen at %v, want %v", got, want)
	}
}

// rotations are all that a page may say, and what it may not: that counts as none.
var rotations = []string{"0", "90", "180", "270", "-90", "450", "45", "/None"}

// boxes are pages of 200 by 150 points, as they are seen unrotated.
var boxes = map[string]string{
	"plain":        "/MediaBox [0 0 200 150]",
	"negative":     "/MediaBox [-100 -50 100 100]",
	"reversed":     "/MediaBox [200 150 0 0]",
	"fractional":   "/MediaBox [10.5 20.25 210.5 170.25]",
	"cropped":      "/MediaBox [0 0 300 300] /CropBox [50 60 250 210]",
	"crop outside": "/MediaBox [0 0 200 150] /CropBox [-50 -50 400 400]",
	"inherited":    "",
}

func TestVisibleSignatureStandsWhereTheReaderPutIt(t *testing.T) {
	s := newSigner(t)
	for name, box := range boxes {
		for _, rotate := range rotations {
			t.Run(name+"/"+rotate, func(t *testing.T) {
				t.Parallel()
				d := pdftest.One()
				d.Objects[2] = "<< /Type /Pages /Kids [3 0 R] /Count 1 /MediaBox [0 0 200 150] >>"
				d.Objects[3] = fmt.Sprintf("<< /Type /Page /Parent 2 0 R /Rotate %s %s /Resources << >> /Contents 4 0 R >>", rotate, box)
				o := s.options()
				o.Appearance = &pades.Appearance{Page: 1, X: 10, Y: 25, Width: 106, Height: 46, Image: read(t, quarters(100, 40))}
				signed, _ := s.sign(t, d.Bytes(), pades.B, o)
				assertShown(t, signed, 10, 25, 106, 46)
				assertVerifies(t, signed, "", 1)
			})
		}
	}
}

// Poppler does not know user units: it shows a page of 2 points a unit half as large.
func TestUserUnitsAreRespected(t *testing.T) {
	s := newSigner(t)
	for _, rotate := range []int{0, 90, 180, 270} {
		d := pdftest.One()
		d.Objects[3] = fmt.Sprintf("<< /Type /Page /Parent 2 0 R /Rotate %d /UserUnit 2.0 /MediaBox [-30 -20 170 130] /Resources << >> /Contents 4 0 R >>", rotate)
		o := s.options()
		o.Appearance = &pades.Appearance{Page: 1, X: 20, Y: 50, Width: 206, Height: 86, Image: read(t, quarters(200, 80))}
		signed, _ := s.sign(t, d.Bytes(), pades.B, o)
		shot := render(t, signed)
		if got, want := shot.darker(0xc0), [4]int{12, 27, 112, 67}; !near(got, want) {
			t.Errorf("rotated by %d: the picture is seen at %v, want %v", rotate, got, want)
		}
	}
}

func TestEveryPageCanBeNamed(t *testing.T) {
	s := newSigner(t)
	doc := pages(3)
	for page, want := range map[int]int{1: 1, 2: 2, 3: 3, -1: 3, -3: 1} {
		o := s.options()
		o.Appearance = visible(page, 10, 10, 150, 50)
		signed, _ := s.sign(t, doc, pades.B, o)
		path := filepath.Join(t.TempDir(), "doc.pdf")
		write(t, path, signed)
		for n := 1; n <= 3; n++ {
			at := strconv.Itoa(n)
			text := string(poppler(t, "pdftotext")("-f", at, "-l", at, path, "-"))
			if strings.Contains(text, "Ada Lovelace") != (n == want) {
				t.Errorf("page %d asked for: page %d says %q", page, n, text)
			}
		}
	}
}

// pages is a document with that many empty pages.
func pages(n int) []byte {
	d := pdftest.One()
	var kids strings.Builder
	for i := range n {
		fmt.Fprintf(&kids, "%d 0 R ", 10+i)
		d.Objects[10+i] = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Resources << >> >>"
	}
	d.Objects[2] = fmt.Sprintf("<< /Type /Pages /Kids [%s] /Count %d >>", kids.String(), n)
	return d.Bytes()
}

func TestVisibleSignatureIsReadableInDocumentsOfEveryForm(t *testing.T) {
	s := newSigner(t)
	for name, d := range generated() {
		if name == "hybrid" {
			continue // its catalogue is hidden in the stream, where poppler does not look
		}
		t.Run(name, func(t *testing.T) {
			o := s.options()
			o.Password = secret("ownersecret")
			o.Appearance = visible(1, 10, 10, 150, 50)
			signed, _ := s.sign(t, d.Bytes(), pades.B, o)
			path := filepath.Join(t.TempDir(), "doc.pdf")
			write(t, path, signed)
			text := string(poppler(t, "pdftotext")("-upw", "usersecret", path, "-"))
			if !strings.Contains(text, "Signed by Ada Lovelace\n") || !strings.Contains(text, "Київ") {
				t.Errorf("the page reads %q", text)
			}
		})
	}
}

// withField is a page turned by 90 degrees with an empty signature field.
func withField(widget string) *pdftest.Doc {
	d := pdftest.One()
	d.Objects[1] = "<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [6 0 R] /SigFlags 0 >> >>"
	d.Objects[3] = "<< /Type /Page /Parent 2 0 R /Rotate 90 /MediaBox [0 0 150 200] /Resources << >> /Contents 4 0 R /Annots [6 0 R] >>"
	d.Objects[6] = "<< /Type /Annot /Subtype /Widget /FT /Sig /T (Here) " + widget + " >>"
	return d
}

func TestVisibleSignatureFillsAFieldThatIsThere(t *testing.T) {
	s := newSigner(t)
	// A page turned by 90 degrees shows the user space with its origin above left.
	for name, widget := range map[string]string{
		"plain":                "/Rect [25 10 71 116]",
		"with page and flags":  "/Rect [25 10 71 116] /P 3 0 R /F 128",
		"with an old look":     "/Rect [25 10 71 116] /AP << /N << /On 4 0 R >> >> /AS /On /F 4",
		"turned by itself":     "/Rect [25 10 71 116] /MK << /R 90 >>",
		"with another page":    "/Rect [25 10 71 116] /P 2 0 R",
		"with reversed corner": "/Rect [71 116 25 10]",
	} {
		t.Run(name, func(t *testing.T) {
			o := s.options()
			o.Field = "Here"
			o.Appearance = &pades.Appearance{Image: read(t, quarters(100, 40))}
			signed, _ := s.sign(t, withField(widget).Bytes(), pades.B, o)
			assertShown(t, signed, 10, 25, 106, 46)
			assertVerifies(t, signed, "", 1)
		})
	}
}

func TestTextStaysInItsRectangleAndCanBeRead(t *testing.T) {
	s := newSigner(t)
	lines := []string{"Signed by Žofie Müller-Ångström, Αλέξανδρος & Юлия", "2026-11-22 03:15:00 +01:00", "Reason: „Das ist ein Grund“ – 100 €", "Place: Kraków"}
	for _, size := range [][2]float64{{280, 180}, {150, 60}, {60, 120}, {118, 37}, {220, 30}} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			o := s.options()
			o.Appearance = &pades.Appearance{Page: 1, X: 10, Y: 10, Width: size[0], Height: size[1], Lines: lines, Fonts: [][]byte{fonts.Regular()}}
			signed, _ := s.sign(t, pages(1), pades.B, o)
			shot := render(t, signed)
			got, w, h := shot.darker(0xc0), int(size[0]), int(size[1])
			if got[0] < 10 || got[1] < 10 || got[2] > 10+w || got[3] > 10+h {
				t.Errorf("text is seen at %v, the rectangle is 10 10 %d %d", got, 10+w, 10+h)
			}
			path := filepath.Join(t.TempDir(), "doc.pdf")
			write(t, path, signed)
			text := strings.Join(strings.Fields(string(poppler(t, "pdftotext")(path, "-"))), "")
			if want := strings.Join(strings.Fields(strings.Join(lines, "")), ""); text != want {
				t.Errorf("the text reads %q, want %q", text, want)
			}
		})
	}
}
