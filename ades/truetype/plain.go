package truetype

import "sort"

// shaped are the characters that cannot be set by themselves, in order: controls
// and formats, marks that combine, scripts whose letters change with their
// neighbours, stand in another order than they are read, or run from right to
// left, and what has no meaning of its own. By blocks, not by the tables of package
// unicode, which are as large as all the rest of this package.
var shaped = [][2]rune{
	{0x0000, 0x001f},
	{0x007f, 0x009f},
	{0x00ad, 0x00ad},
	{0x0300, 0x036f},
	{0x0483, 0x0489}, // combining
	{0x0590, 0x109f}, // Hebrew, Arabic and their kin, India, Thai, Lao, Tibetan, Myanmar
	{0x1100, 0x11ff}, // parts of Hangul syllables
	{0x135d, 0x135f}, // combining, Ethiopic
	{0x1700, 0x18af},
	{0x1900, 0x1c7f}, // Philippines, Khmer, Mongolian, Indonesia
	{0x1cd0, 0x1cff},
	{0x1dc0, 0x1dff}, // Vedic, combining
	{0x200b, 0x200f},
	{0x2028, 0x202e}, // widths of zero, directions
	{0x2060, 0x206f},
	{0x20d0, 0x20ff}, // formats, combining
	{0x2cef, 0x2cf1},
	{0x2d7f, 0x2d7f}, // combining
	{0x2de0, 0x2dff},
	{0x302a, 0x302f}, // combining
	{0x3099, 0x309a},
	{0xa66f, 0xa672},
	{0xa674, 0xa67d}, // combining
	{0xa69e, 0xa69f},
	{0xa6f0, 0xa6f1}, // combining
	{0xa800, 0xa82f},
	{0xa840, 0xaaff}, // India, Java, parts of Hangul syllables
	{0xabc0, 0xabff},
	{0xd7b0, 0xf8ff}, // Meetei, parts of Hangul, surrogates, private use
	{0xfb1d, 0xfdff},
	{0xfe00, 0xfe0f}, // Hebrew and Arabic forms, variations
	{0xfe20, 0xfe2f},
	{0xfe70, 0xfeff}, // combining, Arabic forms, the byte order mark
	{0xfff0, 0xffff}, // specials
	{0x101fd, 0x101fd},
	{0x102e0, 0x102e0}, // combining
	{0x10376, 0x1037a},
	{0x10800, 0x11fff},
	{0x13430, 0x1345f}, // right to left, India, hieroglyphs
	{0x16ac0, 0x16b3f},
	{0x16f4f, 0x16f92},
	{0x16fe4, 0x16ff1},
	{0x1bc00, 0x1bcff}, // combining, shorthand
	{0x1cf00, 0x1cf46},
	{0x1d165, 0x1d1ad},
	{0x1d242, 0x1d244},
	{0x1da00, 0x1daaf},  // music
	{0x1e000, 0x1f18f},  // combining, right to left, enclosed
	{0x1f1e6, 0x1f1ff},  // letters of flags
	{0x1f3fb, 0x1f3ff},  // colours of the character before
	{0xe0000, 0x10ffff}, // tags, variations, private use
}

// Plain reports whether a character can be set as it is: from left to right, by
// a glyph of its own.
func Plain(r rune) bool {
	i := sort.Search(len(shaped), func(i int) bool { return shaped[i][1] >= r })
	return r >= 0 && (i == len(shaped) || r < shaped[i][0])
}
