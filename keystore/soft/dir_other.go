//go:build !unix

package soft

import (
	"errors"
	"os"
)

func lockDir(string) (*os.File, error) {
	return nil, errors.New("the software keystore needs a Unix system: file modes and locks protect it")
}

func linked(os.FileInfo) bool { return true }
