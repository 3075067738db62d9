FROM base:1
ENV OLD the old   style value
ENV OLDQ "quoted old" 'style'
ENV A=1 B="two words" C=two\ words D='single quoted' \
    E=continued \
    # a comment in between
    F=last
ENV EMPTY=
ENV EQUALS=a=b=c
ENV PATH=/opt/bin:$PATH
ENV A=overridden
ENV "QUOTED NAME"=x
ENV SPACE="  spaces  "
ENV BACK=a\\b NEWLINE="a\
b"
RUN env | /bin/busybox grep -E '^(A|B|C|D|E|F|OLD|SPACE)=' | /bin/busybox sort > /out
