package site

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/protocol"
)

// chooseScreen asks what is needed and then, where there are several, in which
// directory: one question per page.
type chooseScreen struct {
	Question     string // "op" or "directory"
	Choices      []choice
	Places       []place
	OneDirectory string
}

type choice struct {
	Action     protocol.Action
	Name, Hint string
	Checked    bool
}

type place struct {
	ID, Name string
	Checked  bool
	Trial    bool // nothing is changed in it
}

// Asks reports which question the page asks.
func (c chooseScreen) Asks(question string) bool { return c.Question == question }

func (v *visit) showChoose(status int, s *screen) {
	s.Step = 2
	if len(s.View.Actions) == 0 {
		s.Title, s.Texts = s.T("choose.nothing.title"), []string{s.T("choose.nothing.text")}
		v.show(status, "message", s)
		return
	}
	s.Title, s.Question = s.T("choose.title"), "op"
	if len(s.View.Directories) == 1 {
		s.OneDirectory = s.View.Directories[0].ID
	}
	for _, a := range s.View.Actions {
		key := "action." + string(a)
		s.Choices = append(s.Choices, choice{a, s.T(key), s.T(key + ".hint"), a == s.View.Action || len(s.View.Actions) == 1})
	}
	v.show(status, "choose", s)
}

// askDirectory is the second question of the step.
func (v *visit) askDirectory(status int, view flow.View, action protocol.Action, places []flow.DirectoryChoice, wrong bool) {
	view.Action = action
	s := v.screen(view)
	s.Step, s.Title, s.Question = 2, s.T("choose.directory.title"), "directory"
	for _, d := range places {
		s.Places = append(s.Places, place{ID: d.ID, Name: d.Name, Trial: d.Trial})
	}
	if wrong {
		s.wrong("directory", s.T("choose.error.directory"))
	}
	v.show(status, "choose", s)
}

// choose takes the answers. The first one alone leads to the second question.
func (v *visit) choose() {
	view, err := v.view()
	if err != nil {
		v.fail(err)
		return
	}
	if view.Step != flow.StepChoose {
		v.toRecovery()
		return
	}
	action, directory := protocol.Action(v.field("op")), v.field("directory")
	if !slices.Contains(view.Actions, action) {
		v.refuseChoice(view, "choose.error.action")
		return
	}
	places := offering(view.Directories, action)
	switch {
	case len(places) == 0:
		v.refuseChoice(view, "choose.error.unavailable")
	case directory == "" && len(places) == 1:
		v.chosen(view, places[0].ID, action)
	case directory == "":
		v.askDirectory(http.StatusOK, view, action, places, v.r.PostForm.Has("again"))
	case !slices.ContainsFunc(places, func(d flow.DirectoryChoice) bool { return d.ID == directory }):
		v.refuseChoice(view, "choose.error.unavailable")
	default:
		v.chosen(view, directory, action)
	}
}

// offering returns the directories that offer the action.
func offering(all []flow.DirectoryChoice, a protocol.Action) []flow.DirectoryChoice {
	var list []flow.DirectoryChoice
	for _, d := range all {
		if slices.Contains(d.Actions, a) {
			list = append(list, d)
		}
	}
	return list
}

func (v *visit) refuseChoice(view flow.View, why string) {
	s := v.screen(view)
	s.wrong("op", s.T(why))
	v.showChoose(http.StatusUnprocessableEntity, s)
}

func (v *visit) chosen(view flow.View, directory string, action protocol.Action) {
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	err := v.site.cfg.Recoveries.Choose(ctx, v.req.Env, view.ID, v.session(view.ID), directory, action)
	switch {
	case errors.Is(err, recovery.ErrNotAdmitted):
		v.refuseChoice(view, "choose.error.unavailable")
	case err != nil && !errors.Is(err, recovery.ErrStep):
		v.fail(err)
	default:
		v.toRecovery()
	}
}
