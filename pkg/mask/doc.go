// Package mask takes secret values out of what programs write.
//
// A Masker knows values. What passes its Writer, String and JSON holds "***" in place of each value and of the
// forms in which programs usually write one: JSON, URL, shell and HTML escapes, hexadecimal digits, base64 in both
// alphabets at each of the three alignments, the long lines of a value that has several, the long strings of a value
// that is a JSON document, and the password of one that is an address.
//
// Guarantees. Every byte of every occurrence goes, wherever occurrences overlap, one being within another included;
// each run of such bytes becomes one "***". What comes out is the same however the input is cut into writes. A
// Writer holds back only what may be the beginning of an occurrence, at most the longest form less one byte, so
// that a prompt without a line end is seen at once. Time is linear in the input, whatever is in it. A Write allocates
// nothing once its buffers have grown. Memory is bounded: MaxEncoded.
//
// What it cannot do: find a value that is cut, reversed, compressed, encrypted, or written in another form than
// those. A value shorter than MinValue bytes is not masked at all: it would take ordinary words apart.
package mask

const (
	// MinValue is the length, in bytes, of the shortest value that is masked.
	MinValue = 4
	// MinLine is the length, in bytes, of the shortest line of a value that is masked by itself.
	MinLine = 8
	// Replacement stands in place of what was taken out. It is shorter than any value, so that nothing grows.
	Replacement = "***"
	// MaxEncoded bounds all forms of all values of a Masker together, in bytes. Where they would take more, the values
	// and their lines are masked as they are, and not in every form. The memory of a Masker is about 16 times as much.
	MaxEncoded = 2 << 20
)
