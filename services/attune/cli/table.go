package cli

import (
	"io"
	"strings"

	"charm.land/lipgloss/v2"
)

// column is one column of a table of things.
type column[T any] struct {
	title  string
	cell   func(T) string
	paint  func(paint, string) string // colours a cell; nil: none
	flex   bool                       // may be cut to fit a terminal
	number bool                       // stands to the right
}

const (
	gap     = "  "
	minFlex = 8
)

// table prints things in columns. On a terminal flexible columns are cut to its width; elsewhere nothing is.
func table[T any](v *view, things []T, columns []column[T]) error {
	rows := make([][]string, len(things))
	for i, t := range things {
		rows[i] = cells(t, columns)
	}
	widths := naturalWidths(columns, rows)
	fit(widths, columns, v.width)
	var b strings.Builder
	writeRow(&b, titles(columns), widths, columns, func(_ int, s string) string { return v.paint.dim(s) })
	for _, row := range rows {
		writeRow(&b, row, widths, columns, func(i int, s string) string {
			if columns[i].paint == nil {
				return s
			}
			return columns[i].paint(v.paint, s)
		})
	}
	_, err := io.WriteString(v.out, b.String())
	return err
}

func titles[T any](columns []column[T]) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = c.title
	}
	return out
}

func cells[T any](thing T, columns []column[T]) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		if out[i] = oneLine(c.cell(thing)); out[i] == "" {
			out[i] = "-"
		}
	}
	return out
}

func naturalWidths[T any](columns []column[T], rows [][]string) []int {
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = lipgloss.Width(c.title)
		for _, row := range rows {
			widths[i] = max(widths[i], lipgloss.Width(row[i]))
		}
	}
	return widths
}

// fit takes from the widest flexible column until the row fits the width or no column can give more.
func fit[T any](widths []int, columns []column[T], width int) {
	if width == 0 {
		return
	}
	for over := rowWidth(widths) - width; over > 0; over-- {
		widest := -1
		for i, c := range columns {
			if c.flex && widths[i] > minFlex && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		widths[widest]--
	}
}

func rowWidth(widths []int) int {
	total := len(gap) * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	return total
}

func writeRow[T any](b *strings.Builder, row []string, widths []int, columns []column[T], colour func(int, string) string) {
	for i, text := range row {
		text = cut(text, widths[i])
		pad := strings.Repeat(" ", widths[i]-lipgloss.Width(text))
		last := i == len(row)-1
		switch {
		case columns[i].number:
			b.WriteString(pad + colour(i, text))
		case last:
			b.WriteString(colour(i, text))
		default:
			b.WriteString(colour(i, text) + pad)
		}
		if !last {
			b.WriteString(gap)
		}
	}
	b.WriteString("\n")
}

// cut shortens a text to a width, and shows that it did.
func cut(text string, width int) string {
	if lipgloss.Width(text) <= width {
		return text
	}
	return lipgloss.NewStyle().MaxWidth(width-1).Render(text) + "…"
}
