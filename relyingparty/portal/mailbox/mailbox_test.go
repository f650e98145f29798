package mailbox_test

import (
	"os"
	"testing"

	"github.com/countersign/countersign/internal/i18n/i18ntest"
)

func TestEveryLanguageHasEveryMessage(t *testing.T) {
	i18ntest.Check(t, os.DirFS("."), "pages/*.html", "*.go")
}
