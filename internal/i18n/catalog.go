package i18n

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

// Default is the language in which every message exists.
const Default = "en"

// Dir is the folder of the message files.
const Dir = "locales"

// Catalog holds the messages of one part of the product in all its languages. It
// may be used by many at once.
type Catalog struct {
	bundle   *i18n.Bundle
	langs    []string // the first is Default
	matcher  language.Matcher
	messages map[string]map[string]*i18n.Message // language → key
}

// plurals are the forms that a message with a number needs in a language, besides
// "other" (CLDR, for whole numbers). A language is added here when it is written.
var plurals = map[string][]string{
	"en": {"one"}, "de": {"one"}, "sv": {"one"}, "da": {"one"}, "nb": {"one"}, "fi": {"one"}, "fr": {"one"},
	"ru": {"one", "few", "many"}, "zh": {},
}

// Load reads locales/*.json. It is an error if a language lacks a message, a plural
// form or a place holder that another one has.
func Load(fsys fs.FS) (*Catalog, error) {
	names, err := fs.Glob(fsys, Dir+"/*.json")
	if err != nil {
		return nil, fmt.Errorf("find messages: %w", err)
	}
	c := &Catalog{bundle: i18n.NewBundle(language.MustParse(Default)), messages: map[string]map[string]*i18n.Message{}}
	for _, name := range names {
		if err := c.read(fsys, name); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if c.messages[Default] == nil {
		return nil, fmt.Errorf("there is no %s/%s.json", Dir, Default)
	}
	c.langs = []string{Default}
	for lang := range c.messages {
		if lang != Default {
			c.langs = append(c.langs, lang)
		}
	}
	slices.Sort(c.langs[1:])
	tags := make([]language.Tag, len(c.langs))
	for i, lang := range c.langs {
		tags[i] = language.MustParse(lang)
	}
	c.matcher = language.NewMatcher(tags)
	return c, c.check()
}

func (c *Catalog) read(fsys fs.FS, name string) error {
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	lang := strings.TrimSuffix(path.Base(name), ".json")
	if _, known := plurals[lang]; !known {
		return fmt.Errorf("the plural forms of %q are not known here: add them to package i18n", lang)
	}
	list, err := i18n.ParseMessageBytes(data, json.Unmarshal)
	if err != nil {
		return err
	}
	if err := c.bundle.AddMessages(language.MustParse(lang), list...); err != nil {
		return err
	}
	c.messages[lang] = map[string]*i18n.Message{}
	for _, m := range list {
		if c.messages[lang][m.ID] != nil {
			return fmt.Errorf("%s is there twice", m.ID)
		}
		c.messages[lang][m.ID] = m
	}
	return nil
}

// check holds every language against the default one.
func (c *Catalog) check() error {
	var errs []error
	for _, lang := range c.langs {
		for key, m := range c.messages[lang] {
			if c.messages[Default][key] == nil {
				errs = append(errs, fmt.Errorf("%s.json has %s, %s.json has not", lang, key, Default))
			}
			errs = append(errs, checkForms(lang, m))
		}
		for key, want := range c.messages[Default] {
			got := c.messages[lang][key]
			switch {
			case got == nil:
				errs = append(errs, fmt.Errorf("%s.json lacks %s", lang, key))
			case !slices.Equal(holders(want), holders(got)):
				errs = append(errs, fmt.Errorf("%s: %s has the place holders %v, %s has %v", key, Default, holders(want), lang, holders(got)))
			case (want.One != "") != (got.One != "") && lang != "zh":
				errs = append(errs, fmt.Errorf("%s: only one of %s and %s has plural forms", key, Default, lang))
			}
		}
	}
	return errors.Join(errs...)
}

func checkForms(lang string, m *i18n.Message) error {
	if m.Other == "" {
		return fmt.Errorf("%s.json: %s is empty", lang, m.ID)
	}
	forms := map[string]string{"zero": m.Zero, "one": m.One, "two": m.Two, "few": m.Few, "many": m.Many}
	counted := m.Zero+m.One+m.Two+m.Few+m.Many != ""
	for form, text := range forms {
		needed := slices.Contains(plurals[lang], form)
		if counted && needed && text == "" {
			return fmt.Errorf("%s.json: %s lacks the form %q", lang, m.ID, form)
		}
		if text != "" && !needed {
			return fmt.Errorf("%s.json: %s has a form %q that %s does not use", lang, m.ID, form, lang)
		}
	}
	return nil
}

var holder = regexp.MustCompile(`\{\{\s*\.(\w+)\s*\}\}`)

// holders are the names that a message puts values in place of, without those that
// only some plural forms have.
func holders(m *i18n.Message) []string {
	var names []string
	for _, found := range holder.FindAllStringSubmatch(m.Other, -1) {
		names = append(names, found[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Languages are the languages of the catalogue, English first.
func (c *Catalog) Languages() []string { return slices.Clone(c.langs) }

// Keys are the keys of all messages, sorted.
func (c *Catalog) Keys() []string {
	keys := make([]string, 0, len(c.messages[Default]))
	for k := range c.messages[Default] {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Has says whether there is a message of that key.
func (c *Catalog) Has(key string) bool { return c.messages[Default][key] != nil }

// For returns who speaks the first of the languages that the catalogue has, or
// English. The languages are tags of BCP 47; what is none is passed over.
func (c *Catalog) For(langs ...string) *Localizer {
	var tags []language.Tag
	for _, l := range langs {
		if t, err := language.Parse(l); err == nil {
			tags = append(tags, t)
		}
	}
	lang := Default
	if _, i, sure := c.matcher.Match(tags...); sure != language.No {
		lang = c.langs[i]
	}
	return &Localizer{catalog: c, lang: lang, localizer: i18n.NewLocalizer(c.bundle, lang)}
}
