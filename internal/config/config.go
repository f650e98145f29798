// Package config reads the settings of a program from a YAML file and the
// environment into a documented struct, strictly: what is misspelt, of the wrong
// kind or missing is an error that names the key and where it stands.
//
// Each exported field of the struct has a tag config:"name" or
// config:"name,required", and a tag doc:"…" with a sentence for operators, from
// which [Reference] is made. The values that a field has before Load are its
// defaults. Fields are text, numbers, booleans, time.Duration, encoding.TextUnmarshaler,
// [Path], [Secret], structs, and lists and maps of these.
package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
)

// Prefix begins the names of a role's variables. Each role has its own, so that one
// environment can hold the settings of several, and the variables that commands
// and other people's clients use, as COUNTERSIGN_ISSUER, are no role's settings.
func Prefix(role string) string { return "COUNTERSIGN_" + upper(role) + "_" }

// Source says where settings come from. The environment wins over the file.
type Source struct {
	// File is a YAML file; "" is none.
	File string
	// Role is whose settings these are. It is needed where Environ is set.
	Role string
	// Environ is the environment, os.Environ() in a program. The key database.dsn
	// of the role gateway is the variable COUNTERSIGN_GATEWAY_DATABASE_DSN. Lists are
	// separated by commas; maps and lists of structs can be in the file only. A
	// variable with the role's prefix that is no setting is refused; all others are
	// somebody else's.
	Environ []string
}

// Load reads the settings into the struct that into points to. If it has a method
// Validate() error, that has the last word.
func Load(s Source, into any) error {
	root, err := describe(into)
	if err != nil {
		return err
	}
	given := map[string]bool{}
	if s.File != "" {
		k := koanf.New(".")
		if err := k.Load(file.Provider(s.File), yaml.Parser()); err != nil {
			return fmt.Errorf("read configuration %s: %w", s.File, err)
		}
		d := decoder{source: s.File, dir: filepath.Dir(s.File), given: given}
		if err := d.set(root, root.value, k.Raw()); err != nil {
			return err
		}
	}
	if err := s.loadEnv(root, given); err != nil {
		return err
	}
	if err := root.missing(given); err != nil {
		return err
	}
	if v, ok := into.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return fmt.Errorf("configuration %s: %w", s.name(), err)
		}
	}
	return nil
}

func (s Source) name() string {
	if s.File == "" {
		return "in the environment"
	}
	return s.File
}

// loadEnv applies the variables with the role's prefix.
func (s Source) loadEnv(root *field, given map[string]bool) error {
	leaves := map[string]*field{}
	prefix := Prefix(s.Role)
	if err := root.leaves(prefix, leaves); err != nil {
		return err
	}
	if len(s.Environ) > 0 && s.Role == "" {
		return errors.New("config: whose settings are in the environment? Source.Role is missing")
	}
	k := koanf.New("") // no delimiter: the names are flat
	err := k.Load(env.Provider("", env.Opt{
		Prefix:      prefix,
		EnvironFunc: func() []string { return s.Environ },
	}), nil)
	if err != nil {
		return fmt.Errorf("read environment: %w", err)
	}
	var errs []error
	for name, value := range k.Raw() {
		f := leaves[name]
		if f == nil {
			errs = append(errs, fmt.Errorf("environment variable %s: there is no such setting", name))
			continue
		}
		text, _ := value.(string)
		d := decoder{source: "environment variable " + name, given: given, text: true}
		errs = append(errs, d.set(f, f.value, text))
	}
	return errors.Join(errs...)
}

func upper(key string) string {
	return strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}
