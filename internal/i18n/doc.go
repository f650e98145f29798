// Package i18n says things in the reader's language. A package that speaks to
// people brings its messages as locales/en.json, locales/de.json and so on, in the
// format of go-i18n; Load refuses catalogues whose languages do not say the same
// things. English is what a reader gets whose languages nobody wrote.
package i18n
