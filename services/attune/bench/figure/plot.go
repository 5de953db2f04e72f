package figure

// Plot is lines over one axis.
type Plot struct {
	Name  string  `json:"name"` // of its file, without an ending
	Title string  `json:"title"`
	X     string  `json:"x"`
	Y     string  `json:"y"`
	LogX  bool    `json:"log_x,omitempty"` // equal ratios are equally far apart
	Lines []*Line `json:"lines"`
}

// Line is values of one kind, in the order of their places.
type Line struct {
	Name   string       `json:"name"`
	Points [][2]float64 `json:"points"` // x, y
}

// Point adds a point to a line of a plot, and both when they are new.
func (r *Run) Point(plot Plot, line string, x, y float64) {
	for _, p := range r.Plots {
		if p.Name == plot.Name {
			p.add(line, x, y)
			return
		}
	}
	r.Plots = append(r.Plots, &plot)
	plot.add(line, x, y)
}

func (p *Plot) add(name string, x, y float64) {
	for _, l := range p.Lines {
		if l.Name == name {
			l.Points = append(l.Points, [2]float64{x, y})
			return
		}
	}
	p.Lines = append(p.Lines, &Line{Name: name, Points: [][2]float64{{x, y}}})
}
