FROM base:1
WORKDIR /a
WORKDIR b
WORKDIR c/d/
RUN echo x > here
ENV WHERE=/variable SUB=sub
WORKDIR $WHERE/${SUB}
RUN echo y > here
USER app
WORKDIR /home/app/made
WORKDIR ../other
USER root
WORKDIR /w//double/../dotted/.
RUN touch file
WORKDIR "/quoted path"
WORKDIR /etc
WORKDIR /
WORKDIR last
