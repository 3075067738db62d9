# comment before
# syntax=not/a-directive-any-more
from base:1 as lower
stopsignal SIGINT
Maintainer somebody
run echo one > /one \
  # a comment within

  && echo two > /two \

  # another
  && echo three > /three
Run ["/bin/sh", "-c", "echo exec form > /four"]
RUN echo "a # not a comment" > /five # a shell's comment
RUN echo a; \
echo b \
> /six
	RUN echo indented > /seven
STOPSIGNAL 9
ENV S=SIGTERM
STOPSIGNAL $S
