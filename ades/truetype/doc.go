// Package truetype reads TrueType fonts and cuts out of them what a PDF has to
// embed: the glyphs of a few characters, with their widths.
//
// Outlines are copied as they are, without their instructions for coarse grids. Only what can be set one glyph a character,
// from left to right, is supported; see Plain. Fonts with CFF outlines, font
// collections, and fonts whose licence bits forbid embedding or subsetting are
// refused with the reason.
package truetype
