FROM base:1
RUN mkdir /t && echo below > /t/file
RUN --mount=type=tmpfs,target=/t ls /t > /one && echo gone > /t/new
RUN --mount=type=tmpfs,target=/sized,size=1048576 echo x > /sized/x && cat /sized/x > /two
RUN --mount=type=tmpfs,target=/var/tmp --mount=type=bind,target=/ctx --mount=type=cache,target=/c cat /ctx/a.txt > /three
