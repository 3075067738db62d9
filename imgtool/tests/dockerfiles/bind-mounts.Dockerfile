FROM base:1 AS source
RUN mkdir -p /data/sub && echo data > /data/file && echo sub > /data/sub/file
FROM base:1
WORKDIR /w
RUN --mount=type=bind,target=/ctx cat /ctx/a.txt > /one && ! touch /ctx/no 2>/dev/null
RUN --mount=target=relative,source=dir/sub cat relative/d.txt > /two && ls > /listing
RUN --mount=type=bind,from=source,source=/data,target=/data,rw echo written > /data/new && cat /data/file /data/new > /three
RUN --mount=type=bind,from=source,source=data/sub,dst=/data ls /data > /four
RUN --mount=type=bind,from=0,source=/data/file,destination=/etc/single,ro=true cat /etc/single > /five
RUN --mount=from=base:1,source=/etc,target=/other cat /other/group > /six
RUN --mount=type=bind,source=a.txt,target=/deep/er/a cat /deep/er/a > /seven
