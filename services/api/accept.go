package api

import (
	"mime"
	"strconv"
	"strings"
)

// preferred gives which of the media types that are offered an Accept header prefers, the first one where it has no
// preference, and "" where it takes none.
func preferred(accept string, offered ...string) string {
	if strings.TrimSpace(accept) == "" {
		return offered[0]
	}
	best, quality, exact := "", 0.0, 0
	for item := range strings.SplitSeq(accept, ",") {
		media, params, err := mime.ParseMediaType(item)
		q := 1.0
		if text, ok := params["q"]; ok && err == nil {
			q, err = strconv.ParseFloat(text, 64)
		}
		if err != nil {
			continue
		}
		for _, o := range offered {
			if fit := fits(media, o); fit > 0 && q > 0 && (q > quality || q == quality && fit > exact) {
				best, quality, exact = o, q, fit
			}
		}
	}
	return best
}

// fits tells how closely a range of media types names one: 0 is not at all.
func fits(pattern, media string) int {
	switch kind, _, _ := strings.Cut(media, "/"); pattern {
	case media:
		return 3
	case kind + "/*":
		return 2
	case "*/*":
		return 1
	}
	return 0
}
