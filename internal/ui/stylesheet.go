package ui

import "html/template"

// Stylesheet is the style sheet of all pages, for documents that are kept as one
// file.
func Stylesheet() (template.CSS, error) {
	b, err := files.ReadFile("assets/ui.css")
	return template.CSS(b), err //nolint:gosec // our own file
}
