"""The web application of dbproxy-admin: Flask, served by cheroot (``dbproxy-admin serve``).

How to write pages:

- A topic is a module of ``pages/`` with ``pages = Pages("topic")`` (``views.py``), named in ``pages.PAGES``, with its templates in
  ``templates/topic/`` and its link in ``navigation.py``.
- A view is declared with ``@pages.page("/topic/<int:number>", Permission.VIEW)``; a route without a permission is refused at the start.
  It is called when the account has the permission and a form has its CSRF token, so it checks neither. ``methods=("GET", "POST")`` for
  forms; ``body_limit=UPLOAD_BODY`` for files, which go to temporary files in the directory of dbproxy-admin.
- ``administration()`` gives what services are made with: ``Users(administration()).get(number)``. Call it in the view, not in a thread:
  what goes on after the response calls ``site().backends.take()`` and ``release()`` itself.
- What takes longer than a page may is given to ``site().jobs`` (``jobs.py``): a thread, one of a kind at a time, whose page reloads itself.
- A form that changes what is there carries a ``fingerprint`` of it (``pages/inputs.py``), to notice that somebody else was faster.
- Errors of services need no ``try``: NotFoundError becomes a page 404, ForbiddenError 403, RefusedError 400, a lost backend 503. A form
  catches RefusedError, and is shown again with what was typed: ``render_template("topic/edit.html", values=request.form,
  problem=str(error)), 400``.
- What was changed ends with ``say(gettext("…"))`` and ``return go_to("topic.show", number=number)``. Passwords that are shown once are
  rendered in the answer to the form and never given to ``say``.
- Templates extend ``base.html`` (blocks ``title``, ``content``, ``scripts``; set ``trail`` to ``[(address, text), …]`` for the links above
  the heading) and ``{% import "macros.html" as ui %}``: ``ui.form``, ``ui.field``, ``ui.choice``, ``ui.area``, ``ui.tick``, ``ui.submit``,
  ``ui.problem``, ``ui.paging``, ``ui.said`` (texts of users, whatever direction they have), ``ui.bar``; ``{{ seconds|moment }}``,
  ``{{ bytes|size }}``, ``{{ number|number }}``; ``has(Permission.CHANGE)``. Texts are English in ``_("…")`` or ``gettext``;
  ``scripts/generate_translations`` collects them for the Chinese ones.
- A dangerous action has a page of its own (GET) that says what will happen, ``confirm.html``, with the form that does it (POST).
- There are no inline scripts or styles: the content security policy forbids them. Pages work without JavaScript.
"""
