package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/countersign/countersign/ades/fonts"
	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/picture"
)

// look is how a signature is seen on its page.
type look struct {
	Visible string   `placeholder:"WHERE" help:"Make the signature visible: page=1,x=36,y=700,w=200,h=60 in points (or with mm) from the upper left of the page as it is seen; page=last and page=-2 count from the end. The word field stands for the place of --field."`
	Image   string   `type:"path" placeholder:"FILE" help:"PNG or JPEG for the visible signature."`
	Font    []string `type:"path" sep:"none" placeholder:"TTF" help:"TrueType font for the visible signature, before the one built in (Latin, Greek, Cyrillic)."`
}

// appearance reads the flags; nil if the signature is to be invisible.
func (c *look) appearance(field string) (*pades.Appearance, error) {
	if c.Visible == "" {
		if c.Image != "" || len(c.Font) > 0 {
			return nil, withCode(exitUsage, errors.New("--image and --font go with --visible"))
		}
		return nil, nil //nolint:nilnil // invisible
	}
	a := &pades.Appearance{}
	if c.Visible == "field" {
		if field == "" {
			return nil, withCode(exitUsage, errors.New("--visible field goes with --field NAME"))
		}
	} else if err := parsePlace(a, c.Visible); err != nil {
		return nil, withCode(exitUsage, fmt.Errorf("--visible: %w; write page=1,x=36,y=700,w=200,h=60", err))
	}
	for _, name := range c.Font {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, withCode(exitLocal, err)
		}
		a.Fonts = append(a.Fonts, data)
	}
	a.Fonts = append(a.Fonts, fonts.Regular())
	if c.Image == "" {
		return a, nil
	}
	data, err := os.ReadFile(c.Image)
	if err != nil {
		return nil, withCode(exitLocal, err)
	}
	a.Image, err = picture.Read(data)
	return a, err
}

// parsePlace reads page, x, y, w and h, each once.
func parsePlace(a *pades.Appearance, s string) error {
	lengths := map[string]*float64{"x": &a.X, "y": &a.Y, "w": &a.Width, "h": &a.Height}
	for part := range strings.SplitSeq(s, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if key == "page" && a.Page == 0 {
			n, err := strconv.Atoi(value)
			if value == "last" {
				n, err = -1, nil
			}
			if err != nil || n == 0 {
				return fmt.Errorf("%q is no page", value)
			}
			a.Page = n
			continue
		}
		to, ok := lengths[key]
		if !ok {
			return fmt.Errorf("%q is not asked for here, or stands twice", part)
		}
		v, err := length(value)
		if err != nil {
			return err
		}
		*to = v
		delete(lengths, key)
	}
	if len(lengths) > 0 || a.Page == 0 {
		return errors.New("page, x, y, w and h are all needed")
	}
	return nil
}

// length reads points, or millimetres.
func length(s string) (float64, error) {
	number, mm := strings.CutSuffix(s, "mm")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || v < 0 || v > 1e6 {
		return 0, fmt.Errorf("%q is no length", s)
	}
	if mm {
		v = v * 72 / 25.4
	}
	return v, nil
}
