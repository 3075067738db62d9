# escape=`
FROM base:1
RUN echo a\b > /one && `
    echo two `
    >> /one
ENV A=x`$y B="a\b" C=`"quoted`" D=a` b
COPY a.txt /back\slash
LABEL l=c:\dir\
RUN echo done > /two
