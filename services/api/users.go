package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune/attune/pkg/access"
	"github.com/attune/attune/pkg/account"
	wire "github.com/attune/attune/pkg/api"
)

func (s *Server) routeUsers(a huma.API) {
	const tag = "Users"
	register(s, a, op(mayAll(access.View, access.Users), http.MethodGet, "/users", "list-users", tag, "List users"), s.listUsers)
	create := op(mayAll(access.Administer, access.Users), http.MethodPost, "/users", "create-user", tag, "Make a user", http.StatusConflict)
	create.DefaultStatus = http.StatusCreated
	register(s, a, create, s.createUser)
	change := func(path, id, summary string) huma.Operation {
		return op(mayAll(access.Administer, access.Users), http.MethodPost, "/users/{name}/"+path, id, tag, summary, http.StatusNotFound)
	}
	register(s, a, change("password", "set-password", "Give a user another password, and end its sessions"), s.setPassword)
	register(s, a, change("rights", "set-rights", "Say anew what a user may do"), s.setRights)
	register(s, a, change("disable", "disable-user", "Keep a user out, and end its sessions"), s.disableUser)
	register(s, a, change("enable", "enable-user", "Let a user in again"), s.enableUser)
}

func (s *Server) listUsers(ctx context.Context, in *Paging) (*reply[wire.Page[wire.User]], error) {
	found, err := s.accounts.Users(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]wire.User, len(found))
	for i, u := range found {
		all[i] = userOf(u)
	}
	return pageOf(all, *in, func(u wire.User) string { return u.Name })
}

func userOf(u account.User) wire.User {
	return wire.User{
		Name: u.Name, Role: string(u.Role), Packs: u.Packs, Grants: grantTexts(u.Grants), CreatedAt: u.CreatedAt, CreatedBy: u.CreatedBy,
		Disabled: u.Disabled, HasPassword: u.HasPassword,
	}
}

type userInput struct {
	Body wire.NewUser
}

func (s *Server) createUser(ctx context.Context, in *userInput) (*reply[wire.User], error) {
	note(ctx, in.Body.Name, nil, nil)
	rights, err := readRights(in.Body.Role, in.Body.Packs, in.Body.Grants)
	if err != nil {
		return nil, err
	}
	u, err := s.accounts.CreateUser(ctx, account.NewUser{Name: in.Body.Name, Password: in.Body.Password, Rights: rights, By: caller(ctx)})
	return s.changed(ctx, in.Body.Name, nil, u, err)
}

// changed answers with what a user is now.
func (s *Server) changed(ctx context.Context, name string, was any, u account.User, err error) (*reply[wire.User], error) {
	if err != nil {
		return nil, explainAccount(err, "user", name)
	}
	note(ctx, u.Name, was, userOf(u))
	return answer(userOf(u)), s.keeper.Refresh(ctx)
}

// userBefore gives what a user is, for the audit: nil when there is none.
func (s *Server) userBefore(ctx context.Context, name string) any {
	all, err := s.accounts.Users(ctx)
	if err != nil {
		return nil
	}
	for _, u := range all {
		if u.Name == name {
			return userOf(u)
		}
	}
	return nil
}

type passwordInput struct {
	ByName
	Body wire.Password
}

func (s *Server) setPassword(ctx context.Context, in *passwordInput) (*reply[wire.User], error) {
	u, err := s.accounts.SetPassword(ctx, in.Name, in.Body.Password)
	return s.changed(ctx, in.Name, nil, u, err)
}

type rightsInput struct {
	ByName
	Body wire.UserRights
}

func (s *Server) setRights(ctx context.Context, in *rightsInput) (*reply[wire.User], error) {
	rights, err := readRights(in.Body.Role, in.Body.Packs, in.Body.Grants)
	if err != nil {
		return nil, err
	}
	was := s.userBefore(ctx, in.Name)
	u, err := s.accounts.SetRights(ctx, in.Name, rights)
	return s.changed(ctx, in.Name, was, u, err)
}

func (s *Server) disableUser(ctx context.Context, in *ByName) (*reply[wire.User], error) {
	was := s.userBefore(ctx, in.Name)
	u, err := s.accounts.SetDisabled(ctx, in.Name, true)
	return s.changed(ctx, in.Name, was, u, err)
}

func (s *Server) enableUser(ctx context.Context, in *ByName) (*reply[wire.User], error) {
	was := s.userBefore(ctx, in.Name)
	u, err := s.accounts.SetDisabled(ctx, in.Name, false)
	return s.changed(ctx, in.Name, was, u, err)
}
